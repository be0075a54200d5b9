//! The sockets of a kernel, as something to listen to.

use super::process::Process;
use jupyter_protocol::{ConnectionInfo, InterruptRequest, JupyterMessage, KernelInfoRequest, Transport};
use jupyter_zmq_client::{
    ClientControlConnection, ClientIoPubConnection, ClientShellConnection, RuntimeError,
    create_client_control_connection, create_client_heartbeat_connection, create_client_iopub_connection,
    create_client_shell_connection_with_identity, peer_identity_for_session,
};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// Longest time for a message to leave, and for a socket to be connected once the kernel listens.
const SEND_MAX: Duration = Duration::from_secs(5);
/// The same for an interrupt, which must not take the time of what follows it.
const INTERRUPT_MAX: Duration = Duration::from_millis(200);
/// Between two heartbeats.
const BEAT: Duration = Duration::from_secs(1);
/// A kernel without a heartbeat for so long is gone.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// How often a kernel that does not answer yet is asked who it is.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// What there is to hear.
pub(super) enum Heard {
    /// Output, or how far the kernel is.
    Output(Box<JupyterMessage>),
    /// The answer to a request.
    Answer(Box<JupyterMessage>),
    /// Somebody woke this thread.
    Woken,
    /// The time is over, or there was something that cannot be read.
    Nothing,
}

/// Connections to one kernel. Between two calls nothing is read: a kernel that is too fast waits.
pub(super) struct Channels {
    /// Taken out only in `drop`.
    runtime: Option<Runtime>,
    shell: ClientShellConnection,
    control: ClientControlConnection,
    output: ClientIoPubConnection,
    wake: tokio::net::UnixStream,
    /// Name of this connection, which comes back with all that belongs to its requests.
    session: String,
    last_beat: Arc<Mutex<Instant>>,
}

impl Channels {
    /// Connect, and wait until the kernel has answered.
    pub fn open(
        info: &ConnectionInfo,
        mut process: Option<&mut Process>,
        wake: &UnixStream,
        deadline: Instant,
    ) -> Result<Channels, String> {
        let mut alive = || match process.as_mut().and_then(|process| process.ended()) {
            Some(status) => Err(format!("it ended with {status}")),
            None if Instant::now() > deadline => Err("it does not answer".to_string()),
            None => Ok(()),
        };
        let mut channels = loop {
            alive()?;
            // Where its ports were held for it until just now, something else may answer for a moment.
            if listens(info)
                && let Ok(channels) = Channels::connect(info, wake)
            {
                break channels;
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        let (mut answers, mut shows) = (false, false);
        let mut asked: Option<Instant> = None;
        // A subscription takes effect some time after the connection; what is shown before is lost.
        while !answers || !shows {
            alive()?;
            if asked.is_none_or(|asked| asked.elapsed() > ASK_AGAIN) {
                channels.request(KernelInfoRequest {}.into())?;
                asked = Some(Instant::now());
            }
            match channels.listen(Instant::now() + Duration::from_millis(100)) {
                Heard::Answer(message) => answers |= channels.is_ours(&message),
                Heard::Output(message) => shows |= channels.is_ours(&message),
                Heard::Woken | Heard::Nothing => {}
            }
        }
        channels.watch(info);
        Ok(channels)
    }

    fn connect(info: &ConnectionInfo, wake: &UnixStream) -> Result<Channels, RuntimeError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let id = JupyterMessage::new(KernelInfoRequest {}, None).header.msg_id;
        let session = format!("codeact-{id}");
        let identity = peer_identity_for_session(&session)?;
        let connecting = async {
            let shell = create_client_shell_connection_with_identity(info, &session, identity).await?;
            let control = create_client_control_connection(info, &session).await?;
            let output = create_client_iopub_connection(info, "", &session).await?;
            Ok::<_, RuntimeError>((shell, control, output, tokio::net::UnixStream::from_std(wake.try_clone()?)?))
        };
        let connected = runtime.block_on(async { tokio::time::timeout(SEND_MAX, connecting).await });
        let (shell, control, output, wake) = connected.map_err(|elapsed| RuntimeError::IoError(elapsed.into()))??;
        let last_beat = Arc::new(Mutex::new(Instant::now()));
        Ok(Channels { runtime: Some(runtime), shell, control, output, wake, session, last_beat })
    }

    /// Listen to the heart, whenever this thread listens at all.
    fn watch(&mut self, info: &ConnectionInfo) {
        let (info, last_beat) = (info.clone(), self.last_beat.clone());
        self.runtime().spawn(async move {
            let Ok(mut heart) = create_client_heartbeat_connection(&info).await else { return };
            while heart.single_heartbeat().await.is_ok() {
                *last_beat.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Instant::now();
                tokio::time::sleep(BEAT).await;
            }
        });
    }

    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("it is there until the drop")
    }

    /// Whether it belongs to a request of this connection.
    pub fn is_ours(&self, message: &JupyterMessage) -> bool {
        message.parent_header.as_ref().is_some_and(|parent| parent.session == self.session)
    }

    /// The heart was not listened to for a while, and that says nothing.
    pub fn trust(&mut self) {
        *self.last_beat.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Instant::now();
    }

    /// Whether there was no heartbeat for too long.
    pub fn is_silent(&self) -> bool {
        self.last_beat.lock().unwrap_or_else(std::sync::PoisonError::into_inner).elapsed() > SILENCE_MAX
    }

    /// Wait until `until` for the next thing to hear.
    pub fn listen(&mut self, until: Instant) -> Heard {
        let Channels { runtime, shell, control, output, wake, .. } = self;
        let runtime = runtime.as_ref().expect("it is there until the drop");
        runtime.block_on(async {
            let read = tokio::select! {
                message = output.read() => message.map(|message| Heard::Output(Box::new(message))),
                message = shell.read() => message.map(|message| Heard::Answer(Box::new(message))),
                // What the kernel says about an interrupt shows in the cell.
                _ = control.read() => return Heard::Nothing,
                _ = wake.readable() => {
                    while wake.try_read(&mut [0; 64]).is_ok_and(|bytes| bytes > 0) {}
                    return Heard::Woken;
                }
                () = tokio::time::sleep_until(until.into()) => return Heard::Nothing,
            };
            match read {
                Ok(heard) => heard,
                Err(error) => {
                    // A lost connection says so at every call.
                    if matches!(error, RuntimeError::ZmqError(_)) {
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                    Heard::Nothing
                }
            }
        })
    }

    /// Send a request; gives its id.
    pub fn request(&mut self, request: JupyterMessage) -> Result<String, String> {
        let id = request.header.msg_id.clone();
        let Channels { runtime, shell, .. } = self;
        let runtime = runtime.as_ref().expect("it is there until the drop");
        match runtime.block_on(async { tokio::time::timeout(SEND_MAX, shell.send(request)).await }) {
            Ok(Ok(())) => Ok(id),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("it takes no messages".to_string()),
        }
    }

    /// Ask for an interrupt.
    pub fn interrupt(&mut self) {
        let Channels { runtime, control, .. } = self;
        let runtime = runtime.as_ref().expect("it is there until the drop");
        let request = InterruptRequest {}.into();
        // What does not arrive is followed by something harder.
        let _ = runtime.block_on(async { tokio::time::timeout(INTERRUPT_MAX, control.send(request)).await });
    }
}

impl Drop for Channels {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Without waiting, which a thread of another runtime must not do.
            runtime.shutdown_background();
        }
    }
}

/// Whether somebody takes connections where the kernel should.
fn listens(info: &ConnectionInfo) -> bool {
    let address = info.ip.parse().map(|ip| SocketAddr::new(ip, info.shell_port));
    match (&info.transport, address) {
        (Transport::TCP, Ok(address)) => {
            let stream = TcpStream::connect_timeout(&address, Duration::from_millis(500));
            // A port of this kind can be connected to itself.
            stream.is_ok_and(|stream| stream.local_addr().is_ok_and(|local| local != address))
        }
        _ => true,
    }
}
