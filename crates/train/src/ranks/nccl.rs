//! Ranks with a card each: vectors go through NCCL, all else, and who is still there, over TCP.

use candle_core::{Device, Tensor};
use codeact_ops::nccl::{Communicator, ID_BYTES, Nccl};

use super::{Collective, Place, RankError, Tcp, any};

#[derive(Debug)]
struct Cards {
    tcp: Tcp,
    communicator: Communicator,
}

/// Connects the cards of all ranks, if all have NCCL. Otherwise vectors go over TCP too, which `say` tells.
pub(super) fn beside(tcp: Tcp, device: &Device, say: &dyn Fn(&str)) -> Result<Box<dyn Collective>, RankError> {
    let failed = |error: candle_core::Error| RankError::Nccl(error.to_string());
    let found = Nccl::load();
    let [is_missing] = any(&tcp, [found.is_err()])?;
    let nccl = match found {
        Ok(nccl) if !is_missing => nccl,
        found => {
            let why = found.err().map_or_else(|| "it is not on every rank".to_owned(), |error| error.to_string());
            say(&format!(
                "note: gradients go over TCP, through rank 0: {why}\n\
                 hint: NCCL is faster; install libnccl2 or the wheel nvidia-nccl, and set LD_LIBRARY_PATH to it"
            ));
            return Ok(Box::new(tcp));
        }
    };
    tcp.same("the version of NCCL", &nccl.version().map_err(failed)?.to_le_bytes())?;
    let mine = if tcp.place().is_first() { nccl.unique_id().map_err(failed)?.to_vec() } else { Vec::new() };
    let id = tcp.gather(&mine)?.swap_remove(0);
    let id: [u8; ID_BYTES] = id.try_into().map_err(|id: Vec<u8>| RankError::out_of_step(0, id.len(), ID_BYTES))?;
    let Place { rank, count } = tcp.place();
    // It waits for all of them, and does not hear that one is gone.
    let outside = tcp.outside();
    let communicator = nccl.join(device, id, (rank, count)).map_err(failed)?;
    drop(outside);
    Ok(Box::new(Cards { tcp, communicator }))
}

impl Cards {
    /// A rank that is gone is the reason for whatever NCCL says.
    fn told(&self, done: candle_core::Result<()>) -> Result<(), RankError> {
        let Err(error) = done else { return Ok(()) };
        self.tcp.check()?;
        Err(RankError::Nccl(error.to_string()))
    }
}

impl Collective for Cards {
    fn place(&self) -> Place {
        self.tcp.place()
    }

    fn sum(&self, values: &Tensor) -> Result<(), RankError> {
        self.tcp.check()?;
        // The first one connects the cards, and the last one may have to be given up: neither need ever end.
        let _outside = self.tcp.outside();
        self.told(self.communicator.sum(values, &|| self.tcp.check().is_ok()))
    }

    fn spread(&self, values: &Tensor) -> Result<(), RankError> {
        self.tcp.check()?;
        let _outside = self.tcp.outside();
        self.told(self.communicator.spread(values, &|| self.tcp.check().is_ok()))
    }

    fn gather(&self, mine: &[u8]) -> Result<Vec<Vec<u8>>, RankError> {
        self.tcp.gather(mine)
    }

    fn check(&self) -> Result<(), RankError> {
        self.tcp.check()
    }

    fn leave(&self, failure: Option<&str>) {
        self.tcp.leave(failure);
    }

    fn means(&self) -> &'static str {
        "by NCCL"
    }
}
