use super::*;
use embedded_storage::nor_flash::{ErrorType, NorFlashError, NorFlashErrorKind};

const ERASE: usize = 1024;
const WRITE: usize = 8;

/// A flash that loses power in the middle of a chosen operation: every write of a unit and every erase of a block
/// counts.
#[derive(Debug, Clone)]
struct Flash {
    bytes: Vec<u8>,
    /// Operations until the power goes.
    left: Option<u32>,
    /// Operations done.
    done: u32,
    /// State of the noise that half an operation leaves.
    noise: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Power,
    Alignment,
    NotErased,
}

impl NorFlashError for Fault {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::Other
    }
}

impl Flash {
    fn new(blocks: usize) -> Self {
        Self { bytes: vec![0x5a; blocks * ERASE], left: None, done: 0, noise: 1 }
    }

    fn noise(&mut self) -> u8 {
        self.noise = self.noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.noise >> 24) as u8
    }

    /// Whether the power goes during this operation.
    fn fails(&mut self) -> Result<bool, Fault> {
        self.done += 1;
        match &mut self.left {
            None => Ok(false),
            Some(0) => Err(Fault::Power),
            Some(left) => {
                *left -= 1;
                Ok(*left == 0)
            }
        }
    }
}

impl ErrorType for Flash {
    type Error = Fault;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 4;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Fault> {
        if self.left == Some(0) {
            return Err(Fault::Power);
        }
        if !(offset as usize | bytes.len()).is_multiple_of(Self::READ_SIZE) {
            return Err(Fault::Alignment);
        }
        bytes.copy_from_slice(&self.bytes[offset as usize..offset as usize + bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = WRITE;
    const ERASE_SIZE: usize = ERASE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Fault> {
        if !(from as usize | to as usize).is_multiple_of(ERASE) {
            return Err(Fault::Alignment);
        }
        for block in (from as usize..to as usize).step_by(ERASE) {
            let fails = self.fails()?;
            for at in block..block + ERASE {
                // Half an erase has set any of the bits.
                self.bytes[at] |= if fails { self.noise() } else { 0xff };
            }
            if fails {
                return Err(Fault::Power);
            }
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Fault> {
        if !(offset as usize | bytes.len()).is_multiple_of(WRITE) {
            return Err(Fault::Alignment);
        }
        for (i, unit) in bytes.chunks(WRITE).enumerate() {
            let start = offset as usize + i * WRITE;
            if self.bytes[start..start + WRITE].iter().any(|&b| b != 0xff) {
                return Err(Fault::NotErased);
            }
            let fails = self.fails()?;
            for (k, &byte) in unit.iter().enumerate() {
                // Half a write has cleared any of the bits that it should clear.
                let mask = if fails { self.noise() } else { 0 };
                self.bytes[start + k] &= byte | mask;
            }
            if fails {
                return Err(Fault::Power);
            }
        }
        Ok(())
    }
}

fn payload(seed: u32, length: usize) -> Vec<u8> {
    (0..length as u32).map(|i| (i.wrapping_mul(seed).wrapping_add(seed) >> 3) as u8).collect()
}

fn slots(flash: Flash) -> Slots<Flash> {
    let size = flash.bytes.len() as u32;
    Slots::new(flash, 0, size).unwrap()
}

fn install(slots: &mut Slots<Flash>, bytes: &[u8]) -> Result<Image, Error<Fault>> {
    let crc32 = crc32fast::hash(bytes);
    slots.install(bytes.len() as u32, crc32, &mut |at, to| {
        to.copy_from_slice(&bytes[at as usize..at as usize + to.len()]);
    })
}

/// What runs after power has come back.
fn boots(flash: &Flash) -> Option<Vec<u8>> {
    let mut slots = slots(Flash { left: None, ..flash.clone() });
    let image = slots.boot().unwrap()?;
    let mut bytes = vec![0; image.length as usize];
    assert_eq!(slots.read(&image, 0, &mut bytes).unwrap(), bytes.len());
    Some(bytes)
}

#[test]
fn the_newest_runs_and_the_one_before_is_kept() {
    let mut slots = slots(Flash::new(8));
    assert_eq!((slots.boot(), slots.slot_size()), (Ok(None), 3 * ERASE as u32));
    assert_eq!(slots.rollback(), Err(Error::NoPrevious));
    let all: Vec<_> = [0, 1, 7, 255, 256, 257, 3071, 3072].map(|n| payload(77 + n as u32, n)).to_vec();
    for (i, bytes) in all.iter().enumerate() {
        let image = install(&mut slots, bytes).unwrap();
        assert_eq!((image.sequence, image.slot), (i as u32 + 1, (i % 2) as u8));
        assert_eq!(slots.boot(), Ok(Some(image)));
        assert_eq!(boots(&slots.flash).as_ref(), Some(bytes));
    }
    for expected in [&all[6], &all[7], &all[6]] {
        slots.rollback().unwrap();
        assert_eq!(boots(&slots.flash).as_ref(), Some(expected));
    }
    assert!(matches!(
        install(&mut slots, &payload(1, 3073)),
        Err(Error::TooLong { length: 3073, limit: 3072 })
    ));
    let wrong = slots.install(4, 0, &mut |_, to| to.fill(1));
    assert!(matches!(wrong, Err(Error::Verify { expected: 0, .. })));
    assert_eq!(boots(&slots.flash).as_ref(), Some(&all[6]));
}

/// A change to the slots.
type Change = fn(&mut Slots<Flash>) -> Result<Image, Error<Fault>>;

/// Loses power in every single operation of a change, with different noise, and checks that what runs afterwards is
/// what ran before or what was to run; then that the next change works, whose power goes too.
#[test]
fn power_may_go_at_every_write_and_erase() {
    let (a, b, c) = (payload(3, 1500), payload(5, 2100), payload(11, 900));
    let mut base = slots(Flash::new(8));
    install(&mut base, &payload(9, 2000)).unwrap();
    install(&mut base, &a).unwrap();
    let before = base.into_flash();
    let changes: [(Change, Vec<u8>); 2] =
        [(|s| install(s, &payload(5, 2100)), b), (|s| s.rollback(), payload(9, 2000))];
    let mut cut = 0;
    for (change, after) in changes {
        let mut whole = slots(Flash { done: 0, ..before.clone() });
        change(&mut whole).unwrap();
        assert_eq!(boots(&whole.flash).as_ref(), Some(&after));
        let operations = whole.flash.done;
        for at in 1..=operations {
            for noise in 0..4 {
                let flash = Flash { left: Some(at), noise: noise * 7919 + at, ..before.clone() };
                let mut broken = slots(flash);
                assert!(matches!(change(&mut broken), Err(Error::Flash(Fault::Power))), "operation {at}");
                let runs = boots(&broken.flash).expect("something runs");
                assert!(runs == a || runs == after, "operation {at} of {operations}, noise {noise}");
                cut += 1;

                // The next change, and a loss of power in the middle of that.
                let left = Flash { left: None, ..broken.flash.clone() };
                let mut next = slots(left.clone());
                install(&mut next, &c).unwrap();
                assert_eq!(boots(&next.flash).as_ref(), Some(&c));
                let again = Flash { left: Some(at % 97 + 1), ..left };
                let mut next = slots(again);
                let done = install(&mut next, &c);
                let now = boots(&next.flash).expect("something runs");
                // Cut before the commit record, or after it.
                assert!(now == runs || now == c, "operation {at}, then {done:?}");
                assert!(done.is_err() || now == c, "operation {at}: done, but not installed");
            }
        }
    }
    println!("power was lost {cut} times");
    assert!(cut > 1000);
}

/// The very first time there is nothing to lose, but nonsense must not run.
#[test]
fn a_first_installation_that_is_cut_runs_nothing_or_all() {
    let a = payload(3, 600);
    let mut whole = slots(Flash::new(4));
    install(&mut whole, &a).unwrap();
    for at in 1..=whole.flash.done {
        let mut broken = slots(Flash { left: Some(at), ..Flash::new(4) });
        install(&mut broken, &a).unwrap_err();
        let runs = boots(&broken.flash);
        assert!(runs.is_none() || runs.as_ref() == Some(&a), "operation {at}");
    }
}

/// Bits that rot later: the other slot runs.
#[test]
fn a_damaged_slot_or_record_falls_back() {
    let (a, b) = (payload(3, 1500), payload(5, 700));
    let mut s = slots(Flash::new(8));
    install(&mut s, &a).unwrap();
    let image = install(&mut s, &b).unwrap();
    for at in [ERASE, ERASE + 9, ERASE + 31, image.offset as usize, image.offset as usize + 699] {
        let mut flash = s.flash.clone();
        flash.bytes[at] ^= 4;
        assert_eq!(boots(&flash).as_ref(), Some(&a), "byte {at}");
        // And the next installation repairs it.
        let mut repaired = slots(flash);
        let c = payload(13, 1000);
        install(&mut repaired, &c).unwrap();
        assert_eq!(boots(&repaired.flash).as_ref(), Some(&c));
        repaired.rollback().unwrap();
        assert_eq!(boots(&repaired.flash).as_ref(), Some(&a));
    }
}

#[test]
fn impossible_places_are_refused() {
    for (blocks, offset, size) in [(8, 0, 3 * ERASE), (8, 5, 8 * ERASE - 5), (8, ERASE, 8 * ERASE), (8, 0, 0)]
    {
        let slots = Slots::new(Flash::new(blocks), offset as u32, size as u32);
        assert!(matches!(slots, Err(Error::Layout { .. })), "{offset} {size}");
    }
    assert!(matches!(Slots::new(Flash::new(8), u32::MAX - 1023, ERASE as u32), Err(Error::Layout { .. })));
    let part = Slots::new(Flash::new(16), 2 * ERASE as u32, 7 * ERASE as u32).unwrap();
    assert_eq!(part.slot_size(), 2 * ERASE as u32);
}
