//! Memory that this process may still take: what the machine has free, and what its control groups allow.

use std::fs::read_to_string;
use std::path::Path;

/// Files of a group: the limit, what is used, and what of that is given up when memory is wanted, in the statistics.
type Names = [&'static str; 3];
const VERSION_2: Names = ["memory.max", "memory.current", "inactive_file"];
const VERSION_1: Names = ["memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"];

/// The group that a container sees as its own, where the lines of `/proc/self/cgroup` name one that it does not see.
const OUTERMOST: [&str; 2] = ["0::/", "0:memory:/"];

/// Memory that is free, in bytes, where the system says so (`MemAvailable`; limits of containers, of SLURM and of systemd
/// count too).
pub fn free_bytes() -> Option<usize> {
    let text = read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let host = line.trim().strip_suffix(" kB")?.parse::<usize>().ok()? * 1024;
    let groups = read_to_string("/proc/self/cgroup").unwrap_or_default();
    let allowed = allowed_bytes(&groups, Path::new("/sys/fs/cgroup"));
    Some(allowed.map_or(host, |allowed| allowed.min(host)))
}

/// The least that the groups leave, and those that they are in.
///
/// * `groups`: lines `number:controllers:path`; of version 2 there are no controllers.
fn allowed_bytes(groups: &str, mounted: &Path) -> Option<usize> {
    let left = groups.lines().chain(OUTERMOST).filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, Path::new(parts.next()?.trim_start_matches('/')));
        let (names, root) = match controllers {
            "" => (VERSION_2, mounted.to_owned()),
            some if some.split(',').any(|name| name == "memory") => (VERSION_1, mounted.join("memory")),
            _ => return None,
        };
        path.ancestors().filter_map(|group| left_bytes(&root.join(group), names)).min()
    });
    left.min()
}

/// What the limit of one group leaves; `None` without a limit.
fn left_bytes(group: &Path, [limit, used, given_up]: Names) -> Option<usize> {
    let number = |name: &str| read_to_string(group.join(name)).ok()?.trim().parse::<usize>().ok();
    let statistics = read_to_string(group.join("memory.stat")).unwrap_or_default();
    let given_up = statistics.lines().find_map(|line| line.strip_prefix(given_up)?.trim().parse::<usize>().ok());
    Some(number(limit)?.saturating_sub(number(used)?.saturating_sub(given_up.unwrap_or(0))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(root: &Path, path: &str, names: Names, values: [&str; 3]) {
        let folder = root.join(path);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(names[0]), format!("{}\n", values[0])).unwrap();
        std::fs::write(folder.join(names[1]), format!("{}\n", values[1])).unwrap();
        std::fs::write(folder.join("memory.stat"), format!("anon 5\n{} {}\n", names[2], values[2])).unwrap();
    }

    #[test]
    fn the_tightest_of_all_groups_around_counts() {
        let mounted = tempfile::tempdir().unwrap();
        let allowed = |groups: &str| allowed_bytes(groups, mounted.path());
        assert_eq!(allowed("0::/job/step"), None);
        group(mounted.path(), "job/step", VERSION_2, ["max", "700", "0"]);
        group(mounted.path(), "job", VERSION_2, ["1000", "700", "100"]);
        assert_eq!((allowed("0::/job/step\n"), allowed("0::/job"), allowed("0::/other")), (Some(400), Some(400), None));
        group(mounted.path(), "job/step", VERSION_2, ["800", "700", "0"]);
        assert_eq!((allowed("0::/job/step"), allowed("0::/job")), (Some(100), Some(400)));
        // What a container sees of its own group, whatever it is called outside.
        group(mounted.path(), "", VERSION_2, ["1000", "950", "0"]);
        assert_eq!(allowed("0::/kubepods/pod1"), Some(50));
    }

    #[test]
    fn groups_of_the_older_version_count_too() {
        let mounted = tempfile::tempdir().unwrap();
        let job = "memory/slurm/job_7";
        group(mounted.path(), job, VERSION_1, ["2000", "500", "200"]);
        group(mounted.path(), "memory/slurm", VERSION_1, ["9223372036854771712", "500", "0"]);
        let groups = "5:cpu,cpuacct:/slurm/job_7\n4:memory:/slurm/job_7\nnonsense\n";
        assert_eq!(allowed_bytes(groups, mounted.path()), Some(1700));
    }
}
