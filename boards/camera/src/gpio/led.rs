//! The status light.

use embedded_hal::digital::{OutputPin, PinState};

/// What the light tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Off: nothing runs.
    Off,
    /// On: frames come.
    Running,
    /// Blinks: the camera is looked for.
    Searching,
}

/// Polls for half a period of blinking, at one poll in about 20 ms.
const BLINK: u32 = 25;

/// A light that is polled, about every 20 ms.
#[derive(Debug)]
pub struct Led<P> {
    pin: P,
    active_low: bool,
    polls: u32,
    lit: Option<bool>,
}

impl<P: OutputPin> Led<P> {
    /// A light in an unknown state. With `active_low` it shines when the pin is low.
    pub fn new(pin: P, active_low: bool) -> Self {
        Self { pin, active_low, polls: 0, lit: None }
    }

    /// Shows a state.
    ///
    /// # Errors
    /// The pin's.
    pub fn show(&mut self, state: State) -> Result<(), P::Error> {
        let lit = match state {
            State::Off => false,
            State::Running => true,
            State::Searching => (self.polls / BLINK).is_multiple_of(2),
        };
        self.polls = if state == State::Searching { self.polls.wrapping_add(1) } else { 0 };
        if self.lit != Some(lit) {
            self.pin.set_state(PinState::from(lit != self.active_low))?;
            self.lit = Some(lit);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use embedded_hal_mock::eh1::digital::{Mock, State as Level, Transaction};

    #[test]
    fn it_blinks_while_searching_and_is_written_only_when_it_changes() {
        let levels = [Level::Low, Level::High, Level::Low, Level::High, Level::Low, Level::High];
        let mut pin = Mock::new(&levels.map(Transaction::set));
        let mut led = Led::new(pin.clone(), false);
        led.show(State::Off).unwrap();
        (0..10).for_each(|_| led.show(State::Running).unwrap());
        // On, off, on again for BLINK polls each; the light is on already.
        (0..3 * BLINK).for_each(|_| led.show(State::Searching).unwrap());
        led.show(State::Off).unwrap();
        led.show(State::Running).unwrap();
        pin.done();
    }

    #[test]
    fn low_can_mean_lit() {
        let mut pin = Mock::new(&[Transaction::set(Level::Low), Transaction::set(Level::High)]);
        let mut led = Led::new(pin.clone(), true);
        led.show(State::Running).unwrap();
        led.show(State::Off).unwrap();
        pin.done();
    }
}
