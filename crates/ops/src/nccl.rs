//! Sums over cards of several processes, by NVIDIA's NCCL. Its library is looked for when it is wanted: building needs
//! nothing of it, and a program that computes on one card starts without it.
//!
//! cudarc has bindings too, but candle has it link to what it binds, so that no program would start without NCCL.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use candle_core::cuda_backend::cudarc::driver::{CudaStream, DevicePtr};
use candle_core::{DType, Device, Error, Result, Storage, Tensor, bail};
use libloading::Library;

/// Names of the library, as NVIDIA's packages and wheels have it.
const NAMES: [&str; 2] = ["libnccl.so.2", "libnccl.so"];

/// Bytes of a [`Nccl::unique_id`].
pub const ID_BYTES: usize = 128;

/// Between two looks for whether a sum is there.
const LOOK: Duration = Duration::from_micros(20);

// Source: nccl.h, whose interface has kept these since NCCL 2.0.
const SUCCESS: c_int = 0;
const IN_PROGRESS: c_int = 7;
const FLOAT32: c_int = 7;
const SUM: c_int = 0;

type Communication = *mut c_void;

#[repr(C)]
#[derive(Clone, Copy)]
struct UniqueId([u8; ID_BYTES]);

// SAFETY of a call is what nccl.h asks for; each call below says how that is met.
type GetVersion = unsafe extern "C" fn(*mut c_int) -> c_int;
type GetUniqueId = unsafe extern "C" fn(*mut UniqueId) -> c_int;
type InitRank = unsafe extern "C" fn(*mut Communication, c_int, UniqueId, c_int) -> c_int;
type Abort = unsafe extern "C" fn(Communication) -> c_int;
type AsyncError = unsafe extern "C" fn(Communication, *mut c_int) -> c_int;
type AllReduce =
    unsafe extern "C" fn(*const c_void, *mut c_void, usize, c_int, c_int, Communication, *mut c_void) -> c_int;
// SAFETY of a call: as above.
type Broadcast =
    unsafe extern "C" fn(*const c_void, *mut c_void, usize, c_int, c_int, Communication, *mut c_void) -> c_int;
type ErrorString = unsafe extern "C" fn(c_int) -> *const c_char;

/// The library.
#[derive(Debug)]
pub struct Nccl {
    get_version: GetVersion,
    get_unique_id: GetUniqueId,
    init_rank: InitRank,
    abort: Abort,
    async_error: AsyncError,
    all_reduce: AllReduce,
    broadcast: Broadcast,
    error_string: ErrorString,
    /// The functions are in it.
    _library: Library,
}

impl Nccl {
    /// Finds the library where the system looks for libraries, `LD_LIBRARY_PATH` included.
    ///
    /// # Errors
    /// When it is not there or not NCCL 2.
    pub fn load() -> Result<Nccl> {
        // SAFETY: what NCCL does when it is loaded asks nothing of this program.
        let open = |name: &str| unsafe { Library::new(name) };
        // The first name is the usual one: why that failed is what matters.
        let found = open(NAMES[0]).or_else(|why| open(NAMES[1]).map_err(|_| why));
        let library = found.map_err(|error| Error::Msg(format!("NCCL is not there: {error}")))?;
        // SAFETY: these are the signatures of nccl.h, and the functions live as long as the library beside them.
        unsafe {
            Ok(Nccl {
                get_version: symbol(&library, "ncclGetVersion")?,
                get_unique_id: symbol(&library, "ncclGetUniqueId")?,
                init_rank: symbol(&library, "ncclCommInitRank")?,
                abort: symbol(&library, "ncclCommAbort")?,
                async_error: symbol(&library, "ncclCommGetAsyncError")?,
                all_reduce: symbol(&library, "ncclAllReduce")?,
                broadcast: symbol(&library, "ncclBroadcast")?,
                error_string: symbol(&library, "ncclGetErrorString")?,
                _library: library,
            })
        }
    }

    /// Its version, such as 22807 for 2.28.7.
    ///
    /// # Errors
    /// What it says.
    pub fn version(&self) -> Result<i32> {
        let mut version = 0;
        // SAFETY: it writes one integer to where the pointer leads.
        self.done("tells no version", unsafe { (self.get_version)(&mut version) })?;
        Ok(version)
    }

    /// Names a new group of processes. One of them makes it and gives it to the others.
    ///
    /// # Errors
    /// When no network can be used.
    pub fn unique_id(&self) -> Result<[u8; ID_BYTES]> {
        let mut id = UniqueId([0; ID_BYTES]);
        // SAFETY: it writes one id to where the pointer leads.
        self.done("makes no group", unsafe { (self.get_unique_id)(&mut id) })?;
        Ok(id.0)
    }

    /// Becomes member `rank` of `count` of the group `id`, with a card of its own; waits for all of them.
    ///
    /// # Errors
    /// When the device is no card, two members have the same one, or they do not reach each other.
    pub fn join(self, device: &Device, id: [u8; ID_BYTES], (rank, count): (usize, usize)) -> Result<Communicator> {
        let stream = device.as_cuda_device()?.cuda_stream();
        stream.context().bind_to_thread().map_err(Error::wrap)?;
        let mut communication: Communication = std::ptr::null_mut();
        let (rank, count) = (c_int::try_from(rank).map_err(Error::wrap)?, c_int::try_from(count).map_err(Error::wrap)?);
        // SAFETY: it writes one pointer to where the pointer leads; the context of the card is that of this thread.
        let code = unsafe { (self.init_rank)(&mut communication, count, UniqueId(id), rank) };
        self.done("does not connect the cards", code)?;
        let handle = Mutex::new(Some(Handle(communication)));
        Ok(Communicator { nccl: self, handle, device: device.clone() })
    }

    fn done(&self, what: &str, code: c_int) -> Result<()> {
        if code == SUCCESS || code == IN_PROGRESS {
            return Ok(());
        }
        // SAFETY: it gives a text of its own for every code, which ends with a zero and stays.
        let text = unsafe { CStr::from_ptr((self.error_string)(code)) };
        Err(Error::Msg(format!("{what}: {} ({code})", text.to_string_lossy())))
    }
}

/// # Safety
/// `T` must be the type of this function, and not be used when the library is gone.
unsafe fn symbol<T: Copy>(library: &Library, name: &str) -> Result<T> {
    // SAFETY: that is what the caller promises.
    let found = unsafe { library.get::<T>(name) };
    found.map(|symbol| *symbol).map_err(|error| Error::Msg(format!("this NCCL cannot be used: {error}")))
}

#[derive(Debug, Clone, Copy)]
struct Handle(Communication);

// SAFETY: NCCL allows any thread to use a communicator, one at a time, which the mutex around it sees to.
unsafe impl Send for Handle {}

/// A member of a group.
#[derive(Debug)]
pub struct Communicator {
    nccl: Nccl,
    /// `None` once it is given up.
    handle: Mutex<Option<Handle>>,
    device: Device,
}

impl Communicator {
    /// Replaces `values` by the sum over all members. NCCL adds up in an order that the cards and their wires give: the
    /// same bits on all members, and in each run on the same machines.
    ///
    /// * `values`: `(N,)` f32 on the card, the same N everywhere.
    /// * `goes_on`: asked while it waits; `false` gives the group up.
    ///
    /// # Errors
    /// When the group is given up or NCCL fails.
    pub fn sum(&self, values: &Tensor, goes_on: &dyn Fn() -> bool) -> Result<()> {
        self.wait(goes_on, "does not sum", |nccl, Handle(communication), stream| {
            let (address, count) = address(values, stream)?;
            // SAFETY: `count` numbers lie at the address until the stream has come to the end of this.
            Ok(unsafe {
                let to = address as *mut c_void;
                (nccl.all_reduce)(to, to, count, FLOAT32, SUM, communication, stream.cu_stream().cast())
            })
        })
    }

    /// Replaces `values` by those of member 0; otherwise as [`Communicator::sum`].
    ///
    /// # Errors
    /// When the group is given up or NCCL fails.
    pub fn spread(&self, values: &Tensor, goes_on: &dyn Fn() -> bool) -> Result<()> {
        self.wait(goes_on, "does not spread", |nccl, Handle(communication), stream| {
            let (address, count) = address(values, stream)?;
            // SAFETY: `count` numbers lie at the address until the stream has come to the end of this.
            Ok(unsafe {
                let to = address as *mut c_void;
                (nccl.broadcast)(to, to, count, FLOAT32, 0, communication, stream.cu_stream().cast())
            })
        })
    }

    fn wait(
        &self,
        goes_on: &dyn Fn() -> bool,
        what: &str,
        queue: impl FnOnce(&Nccl, Handle, &CudaStream) -> Result<c_int>,
    ) -> Result<()> {
        let mut handle = self.handle();
        let Some(used) = *handle else { bail!("the group of the cards was given up before") };
        let stream = self.device.as_cuda_device()?.cuda_stream();
        let code = queue(&self.nccl, used, &stream)?;
        self.nccl.done(what, code)?;
        let event = stream.record_event(None).map_err(Error::wrap)?;
        while !event.try_is_complete().map_err(Error::wrap)? {
            let mut failure = SUCCESS;
            // SAFETY: the handle is in use by nobody else; one integer is written to where the pointer leads.
            let asked = unsafe { (self.nccl.async_error)(used.0, &mut failure) };
            let state = self.nccl.done(what, asked).and_then(|()| self.nccl.done(what, failure));
            if state.is_err() || !goes_on() {
                self.give_up(&mut handle);
                return state.and_then(|()| bail!("{what}: the group of the cards is given up"));
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    fn handle(&self) -> MutexGuard<'_, Option<Handle>> {
        self.handle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends what the card still does for the group, whoever is gone.
    fn give_up(&self, handle: &mut Option<Handle>) {
        if let Some(Handle(communication)) = handle.take() {
            // SAFETY: the handle was taken, so that nobody uses it again.
            let _ = unsafe { (self.nccl.abort)(communication) };
        }
    }
}

impl Drop for Communicator {
    fn drop(&mut self) {
        self.give_up(&mut self.handle());
    }
}

fn address(values: &Tensor, stream: &CudaStream) -> Result<(u64, usize)> {
    if values.dtype() != DType::F32 || !values.is_contiguous() {
        bail!("NCCL sums contiguous f32, got {:?} with strides {:?}", values.dtype(), values.stride());
    }
    let (storage, layout) = values.storage_and_layout();
    let Storage::Cuda(storage) = &*storage else { bail!("NCCL sums on cards, this is on {:?}", values.device()) };
    let slice = storage.as_cuda_slice::<f32>()?;
    // Events are off: what is queued on the one stream of the device comes in its order.
    let (start, _reads) = slice.device_ptr(stream);
    Ok((start + (layout.start_offset() * DType::F32.size_in_bytes()) as u64, values.elem_count()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_nccl_is_told_so() {
        match Nccl::load() {
            Ok(nccl) => assert!(nccl.version().expect("a version") >= 20_000),
            Err(error) => assert!(error.to_string().starts_with("NCCL is not there: "), "{error}"),
        }
    }
}
