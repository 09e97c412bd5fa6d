//! Places for connections: some in all, and of these only a part for one address.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Connections at a time; a browser opens a few.
pub const MAX_CONNECTIONS: usize = 32;
/// Of one address, unless told otherwise: a browser, and another that is about to replace it.
pub const PER_ADDRESS: usize = 8;

/// Who has which place.
#[derive(Debug)]
pub(super) struct Places {
    per_address: usize,
    taken: Mutex<BTreeMap<IpAddr, usize>>,
}

/// Why there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// All are taken.
    All,
    /// This address has as many as one may have.
    Address,
}

impl Places {
    pub fn new(per_address: usize) -> Arc<Self> {
        Arc::new(Self { per_address, taken: Mutex::default() })
    }

    /// A place for a connection from this address.
    pub fn enter(self: &Arc<Self>, address: IpAddr) -> Result<Place, Full> {
        let owner = owner(address);
        let mut taken = self.lock();
        if taken.values().sum::<usize>() >= MAX_CONNECTIONS {
            return Err(Full::All);
        }
        let own = taken.entry(owner).or_default();
        if *own >= self.per_address {
            return Err(Full::Address);
        }
        *own += 1;
        drop(taken);
        Ok(Place { places: Arc::clone(self), owner })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<IpAddr, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whose connection it is: of IPv6 every subscriber has 2⁶⁴ addresses or more, so the first half tells.
fn owner(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (!0 << 64)).into(),
        v4 => v4,
    }
}

/// A connection's place, free again when dropped.
pub(super) struct Place {
    places: Arc<Places>,
    owner: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        if let Some(own) = taken.get_mut(&self.owner) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.owner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> IpAddr {
        address.parse().unwrap()
    }

    #[test]
    fn places_are_limited_and_given_back() {
        let places = Places::new(2);
        let first = places.enter(at("10.0.0.1")).unwrap();
        let _second = places.enter(at("::ffff:10.0.0.1")).unwrap();
        assert_eq!(places.enter(at("10.0.0.1")).err(), Some(Full::Address));
        let others: Vec<_> = (2..32).map(|n| places.enter(at(&format!("10.0.0.{n}"))).unwrap()).collect();
        assert_eq!(others.len() + 2, MAX_CONNECTIONS);
        assert_eq!(places.enter(at("10.0.0.99")).err(), Some(Full::All));
        drop(first);
        assert!(places.enter(at("10.0.0.1")).is_ok());
        drop((others, _second));
        assert!(places.lock().is_empty(), "nothing is kept of who has gone");
    }

    #[test]
    fn half_of_an_ipv6_address_is_its_owner() {
        let places = Places::new(2);
        let _all =
            [places.enter(at("2001:db8:1:2::1")).unwrap(), places.enter(at("2001:db8:1:2:f::9")).unwrap()];
        assert_eq!(places.enter(at("2001:db8:1:2:ffff:1:2:3")).err(), Some(Full::Address));
        assert!(places.enter(at("2001:db8:1:3::1")).is_ok());
    }
}
