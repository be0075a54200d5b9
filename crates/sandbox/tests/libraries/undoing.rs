//! Undo across what libraries leave behind: threads, open files, databases. Either the interpreter itself comes back,
//! or the cells are run again, and it is said why.

use crate::{policy, policy_with_libraries, run, rung, see, start};
use codeact_sandbox::{Policy, Restored, Session};

/// Undo one cell by running the earlier ones again; returns the reason given.
fn replayed(session: &mut Session) -> String {
    match session.undo(1).unwrap() {
        Restored::Replayed { reason, differences } => {
            assert_eq!(differences, Vec::<String>::new());
            reason
        }
        other => panic!("an unclean checkpoint was taken for a clean one: {other:?}"),
    }
}

#[test]
fn threads_of_linear_algebra_end_before_a_checkpoint() {
    rung::on_each("undoing::threads_of_linear_algebra_end_before_a_checkpoint", |rung| {
        let Some(policy) = policy_with_libraries(rung) else { return };
        let Some(mut session) = start(&policy) else { return };
        run(&mut session, "import numpy as np\na = np.ones((500, 500))\nb = a @ a");
        run(&mut session, "b = b @ b");
        assert_eq!(session.undo(1).unwrap(), Restored::Resumed);
        assert_eq!(see(&mut session, "float(b[0, 0])"), "500.0");
        assert_eq!(see(&mut session, "float((b @ b)[0, 0])"), "125000000.0");
    });
}

#[test]
fn threads_of_openmp_make_undo_run_the_cells_again() {
    rung::on_each("undoing::threads_of_openmp_make_undo_run_the_cells_again", |rung| {
        let Some(policy) = policy_with_libraries(rung) else { return };
        let environment = vec!["OMP_NUM_THREADS=2".to_string()];
        let Some(mut session) = start(&Policy { environment, ..policy }) else { return };
        let fit = "from sklearn.cluster import KMeans\nimport numpy as np\n\
                   data = np.random.default_rng(0).normal(size=(2000, 4))\n\
                   model = KMeans(3, n_init=1, random_state=0).fit(data)\nround(model.inertia_)";
        let before = see(&mut session, fit);
        run(&mut session, "model = None");
        let reason = replayed(&mut session);
        assert!(reason.contains("threads of a library"), "{reason}");
        assert_eq!(see(&mut session, "round(model.inertia_)"), before);
        run(&mut session, "KMeans(3, n_init=1, random_state=0).fit(data)");
    });
}

#[test]
fn a_running_thread_makes_undo_run_the_cells_again() {
    rung::on_each("undoing::a_running_thread_makes_undo_run_the_cells_again", |rung| {
        let Some(mut session) = start(&policy(rung)) else { return };
        let code = "import threading, time\nend = threading.Event()\nticks = []\ndef tick():\n    while not end.wait(0.01):\n        \
                    ticks.append(1)\nthread = threading.Thread(target=tick, name='ticker')\nthread.start()";
        run(&mut session, code);
        run(&mut session, "x = 1");
        let reason = replayed(&mut session);
        assert!(reason.contains("ticker"), "{reason}");
        let code = "count = len(ticks)\ntime.sleep(0.2)\n('x' in globals(), thread.is_alive(), len(ticks) > count)";
        assert_eq!(see(&mut session, code), "(False, True, True)");
        run(&mut session, "end.set()\nthread.join()");
        run(&mut session, "y = 1");
        assert_eq!(session.undo(1).unwrap(), Restored::Resumed, "no thread runs any more");
        assert_eq!(see(&mut session, "('y' in globals(), thread.is_alive())"), "(False, False)");
    });
}

#[test]
fn an_open_database_is_what_it_was() {
    rung::on_each("undoing::an_open_database_is_what_it_was", |rung| {
        let Some(mut session) = start(&policy(rung)) else { return };
        let code = "import sqlite3\nconnection = sqlite3.connect('a.db')\nconnection.execute('CREATE TABLE t (a)')\n\
                    connection.execute('INSERT INTO t VALUES (1)')\nconnection.commit()";
        run(&mut session, code);
        run(&mut session, "connection.execute('INSERT INTO t VALUES (2)')\nconnection.commit()");
        session.undo(1).unwrap();
        assert_eq!(see(&mut session, "connection.execute('SELECT count(*), max(a) FROM t').fetchone()"), "(1, 1)");
        run(&mut session, "connection.execute('INSERT INTO t VALUES (3)')\nconnection.commit()");
        assert_eq!(see(&mut session, "sqlite3.connect('a.db').execute('SELECT sum(a) FROM t').fetchone()"), "(4,)");
        assert_eq!(see(&mut session, "connection.execute('PRAGMA integrity_check').fetchone()"), "('ok',)");
    });
}

#[test]
fn an_open_file_is_written_on_from_where_it_was() {
    rung::on_each("undoing::an_open_file_is_written_on_from_where_it_was", |rung| {
        let Some(mut session) = start(&policy(rung)) else { return };
        run(&mut session, "log = open('log', 'w', buffering=1)\nlog.write('one\\n');");
        run(&mut session, "log.write('two\\n')\nlog.write('half a line');");
        session.undo(1).unwrap();
        run(&mut session, "log.write('three\\n')\nlog.flush()");
        assert_eq!(see(&mut session, "open('log').read()"), "'one\\nthree\\n'");
    });
}

#[test]
fn a_child_process_of_an_undone_cell_is_gone() {
    rung::on_each("undoing::a_child_process_of_an_undone_cell_is_gone", |rung| {
        let Some(mut session) = start(&policy(rung)) else { return };
        run(&mut session, "import subprocess, os, time, multiprocessing");
        let code = "def beat():\n    while True:\n        open('beat', 'w').write(str(time.time()))\n        time.sleep(0.01)\n\
                    multiprocessing.Process(target=beat, daemon=True).start()\ntime.sleep(0.2)\nos.path.exists('beat')";
        assert_eq!(see(&mut session, code), "True");
        session.undo(1).unwrap();
        assert_eq!(
            see(&mut session, "time.sleep(0.2)\n(os.path.exists('beat'), 'beat' in globals())"),
            "(False, False)"
        );
    });
}
