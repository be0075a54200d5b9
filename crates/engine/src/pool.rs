//! Pages of the key-value cache: which are free, and how many hold each of the others.

/// Pages `0..count`, each held by any number of holders; one that nobody holds is free.
#[derive(Debug)]
pub(crate) struct PagePool {
    holders: Vec<u32>,
    free: Vec<u32>,
}

impl PagePool {
    pub fn new(count: usize) -> PagePool {
        // The lowest numbers are taken first: memory of pages that were never used costs nothing.
        PagePool { holders: vec![0; count], free: (0..count as u32).rev().collect() }
    }

    pub fn count(&self) -> usize {
        self.holders.len()
    }

    pub fn free_count(&self) -> usize {
        self.free.len()
    }

    /// A free page, which the caller now holds.
    pub fn take(&mut self) -> Option<u32> {
        let page = self.free.pop()?;
        self.holders[page as usize] = 1;
        Some(page)
    }

    /// One more holds `page`, which somebody holds already. Returns how many do now.
    pub fn hold(&mut self, page: u32) -> u32 {
        let holders = &mut self.holders[page as usize];
        assert!(*holders > 0, "page {page} is free; it can only be taken");
        *holders += 1;
        *holders
    }

    /// One holder lets go of `page`. Returns how many are left; with none it is free.
    pub fn release(&mut self, page: u32) -> u32 {
        let holders = &mut self.holders[page as usize];
        assert!(*holders > 0, "page {page} is free already");
        *holders -= 1;
        if *holders == 0 {
            self.free.push(page);
        }
        *holders
    }

    /// How many hold `page`.
    pub fn holders(&self, page: u32) -> u32 {
        self.holders[page as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_free_again_when_its_last_holder_lets_go() {
        let mut pool = PagePool::new(2);
        let (first, second) = (pool.take().unwrap(), pool.take().unwrap());
        assert_eq!((first, second, pool.take()), (0, 1, None));
        assert_eq!(pool.hold(first), 2);
        assert_eq!((pool.release(first), pool.free_count()), (1, 0));
        assert_eq!((pool.release(first), pool.free_count()), (0, 1));
        assert_eq!(pool.take(), Some(first));
        assert_eq!((pool.holders(first), pool.holders(second)), (1, 1));
    }

    #[test]
    #[should_panic(expected = "page 0 is free already")]
    fn a_free_page_is_not_released_again() {
        let mut pool = PagePool::new(1);
        let page = pool.take().unwrap();
        pool.release(page);
        pool.release(page);
    }
}
