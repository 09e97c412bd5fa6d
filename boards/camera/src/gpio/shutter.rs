//! The shutter button.

use embedded_hal::digital::InputPin;

/// Equal readings in a row after which a button is believed: contacts bounce for a few milliseconds.
const STEADY: u8 = 2;

/// A button that is polled, about every 20 ms.
#[derive(Debug)]
pub struct Shutter<P> {
    pin: P,
    active_low: bool,
    pressed: bool,
    /// Readings in a row that differ from `pressed`.
    differ: u8,
}

impl<P: InputPin> Shutter<P> {
    /// A button that is not pressed yet. With `active_low` it connects the pin to ground.
    pub fn new(pin: P, active_low: bool) -> Self {
        Self { pin, active_low, pressed: false, differ: 0 }
    }

    /// Reads the pin; true once for every press.
    ///
    /// # Errors
    /// The pin's.
    pub fn poll(&mut self) -> Result<bool, P::Error> {
        let pressed = self.pin.is_high()? != self.active_low;
        if pressed == self.pressed {
            self.differ = 0;
            return Ok(false);
        }
        self.differ += 1;
        if self.differ < STEADY {
            return Ok(false);
        }
        (self.pressed, self.differ) = (pressed, 0);
        Ok(pressed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use embedded_hal_mock::eh1::digital::{Mock, State, Transaction};

    fn presses(levels: &[u8], active_low: bool) -> Vec<bool> {
        let state = |&v: &u8| if v == 1 { State::High } else { State::Low };
        let expected: Vec<_> = levels.iter().map(|v| Transaction::get(state(v))).collect();
        let mut pin = Mock::new(&expected);
        let mut shutter = Shutter::new(pin.clone(), active_low);
        let presses = levels.iter().map(|_| shutter.poll().unwrap()).collect();
        pin.done();
        presses
    }

    #[test]
    fn a_press_counts_once_and_bouncing_does_not() {
        let count = |levels: &[u8], low| presses(levels, low).iter().filter(|&&p| p).count();
        assert_eq!(count(&[0, 0, 0], false), 0);
        assert_eq!(count(&[0, 1, 0, 1, 0, 0], false), 0);
        assert_eq!(presses(&[0, 1, 1, 1, 1, 0, 0], false), [false, false, true, false, false, false, false]);
        assert_eq!(count(&[0, 1, 1, 0, 1, 1, 0, 0, 1, 1], false), 2);
        assert_eq!(count(&[1, 1, 0, 0, 1, 1], true), 1);
    }

    #[test]
    fn a_broken_pin_is_an_error() {
        let broken = embedded_hal_mock::eh1::MockError::Io(std::io::ErrorKind::BrokenPipe);
        let mut pin = Mock::new(&[Transaction::get(State::Low).with_error(broken.clone())]);
        assert_eq!(Shutter::new(pin.clone(), false).poll(), Err(broken));
        pin.done();
    }
}
