//! The fan.

use super::GpioError;
use embedded_hal::digital::{OutputPin, PinState};

/// A fan that is on or off. Between its two limits it stays as it is, so that it does not switch all the time.
#[derive(Debug)]
pub struct Fan<P> {
    pin: P,
    active_low: bool,
    on: f32,
    off: f32,
    runs: Option<bool>,
}

/// What can be said about a fan's limits before there is a pin.
///
/// # Errors
/// [`GpioError::Limits`] unless `off` is lower than `on`.
pub fn check_limits(on: f32, off: f32) -> Result<(), GpioError> {
    // Not `off >= on`: neither is true of a value that is no number.
    if off < on { Ok(()) } else { Err(GpioError::Limits { on, off }) }
}

impl<P: OutputPin> Fan<P> {
    /// A fan that goes on at `on` °C and off at `off` °C. With `active_low` it runs when the pin is low.
    ///
    /// # Errors
    /// [`GpioError::Limits`] unless `off` is lower than `on`.
    pub fn new(pin: P, active_low: bool, on: f32, off: f32) -> Result<Self, GpioError> {
        check_limits(on, off)?;
        Ok(Self { pin, active_low, on, off, runs: None })
    }

    /// Takes the temperature in °C into account. Without one the fan runs: nobody knows how hot it is.
    ///
    /// # Errors
    /// The pin's.
    pub fn update(&mut self, temperature: Option<f32>) -> Result<(), P::Error> {
        let runs = match temperature {
            None => true,
            Some(t) if t >= self.on => true,
            Some(t) if t <= self.off => false,
            Some(_) => self.runs.unwrap_or(true),
        };
        if self.runs != Some(runs) {
            self.pin.set_state(PinState::from(runs != self.active_low))?;
            self.runs = Some(runs);
        }
        Ok(())
    }

    /// Whether it was told to run.
    pub fn runs(&self) -> bool {
        self.runs == Some(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use embedded_hal_mock::eh1::digital::{Mock, State, Transaction};

    #[test]
    fn it_stays_as_it_is_between_the_limits() {
        let levels = [State::Low, State::High, State::Low, State::High];
        let mut pin = Mock::new(&levels.map(Transaction::set));
        let mut fan = Fan::new(pin.clone(), false, 65.0, 55.0).unwrap();
        let runs: Vec<_> = [40.0, 60.0, 64.9, 65.0, 60.0, 55.1, 55.0, 60.0]
            .into_iter()
            .map(|t| {
                fan.update(Some(t)).unwrap();
                fan.runs()
            })
            .collect();
        assert_eq!(runs, [false, false, false, true, true, true, false, false]);
        fan.update(None).unwrap();
        assert!(fan.runs(), "it runs when the temperature is unknown");
        pin.done();
    }

    #[test]
    fn an_unknown_start_is_a_running_fan() {
        let mut pin = Mock::new(&[Transaction::set(State::Low)]);
        let mut fan = Fan::new(pin.clone(), true, 65.0, 55.0).unwrap();
        fan.update(Some(60.0)).unwrap();
        assert!(fan.runs());
        pin.done();
    }

    #[test]
    fn limits_must_leave_room() {
        for (on, off) in [(50.0, 50.0), (50.0, 60.0), (f32::NAN, 50.0), (50.0, f32::NAN)] {
            let mut pin = Mock::new(&[]);
            assert!(matches!(Fan::new(pin.clone(), false, on, off), Err(GpioError::Limits { .. })));
            pin.done();
        }
    }
}
