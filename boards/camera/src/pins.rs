//! The thread that looks after button, light and fan.

use super::health::Thermometer;
use super::shared::{Phase, Shared};
use crate::gpio::{self, Fan, GpioError, Led, LineSpec, Shutter, State};
use embedded_hal::digital::{InputPin, OutputPin};
use mcir_upscale::error::Result;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Time between two looks at the pins.
const TICK: Duration = Duration::from_millis(20);
/// Time between two looks at the thermometer.
const THERMOMETER: Duration = Duration::from_secs(2);

/// Pins in use.
#[derive(Debug, Clone, clap::Args)]
pub struct PinArgs {
    /// Button that saves a still pair to --stills, for example gpiochip0:17:low
    #[arg(long, value_name = "CHIP:LINE", requires = "stills", value_parser = LineSpec::parse)]
    shutter: Option<LineSpec>,

    /// Light that is on while frames come and blinks while the camera is looked for
    #[arg(long, value_name = "CHIP:LINE", value_parser = LineSpec::parse)]
    led: Option<LineSpec>,

    /// Fan that runs when the processor is hot
    #[arg(long, value_name = "CHIP:LINE", value_parser = LineSpec::parse)]
    fan: Option<LineSpec>,

    /// Temperature in °C at which the fan goes on
    #[arg(long, value_name = "DEGREES", default_value_t = 65.0, requires = "fan")]
    fan_on: f32,

    /// Temperature in °C at which the fan goes off
    #[arg(long, value_name = "DEGREES", default_value_t = 55.0, requires = "fan")]
    fan_off: f32,
}

/// The pins, opened.
pub struct Pins<I, O> {
    shutter: Option<Shutter<I>>,
    led: Option<Led<O>>,
    fan: Option<Fan<O>>,
    looked: Option<Instant>,
}

#[cfg(target_os = "linux")]
type Line = linux_embedded_hal::CdevPin;

impl PinArgs {
    /// Opens the lines and looks after them from a thread of its own, until the pipeline ends.
    ///
    /// # Errors
    /// [`GpioError`] when a line cannot be had.
    #[cfg(target_os = "linux")]
    pub fn start(
        &self,
        shared: &Arc<Shared>,
        pressed: Arc<AtomicU64>,
        tell: impl Fn(String) + Send + 'static,
    ) -> Result<Option<std::thread::JoinHandle<()>>> {
        // A mistake of the command line is told before one of the board.
        if self.fan.is_some() {
            gpio::check_limits(self.fan_on, self.fan_off)?;
        }
        let shutter = self.shutter.as_ref().map(|s| Ok(Shutter::new(gpio::input(s)?, s.active_low)));
        let led = self.led.as_ref().map(|s| Ok(Led::new(gpio::output(s)?, s.active_low)));
        let (on, off) = (self.fan_on, self.fan_off);
        let fan = self.fan.as_ref().map(|s| Fan::new(gpio::output(s)?, s.active_low, on, off));
        let mut pins = Pins::<Line, Line> {
            shutter: shutter.transpose().map_err(|e: GpioError| e)?,
            led: led.transpose().map_err(|e: GpioError| e)?,
            fan: fan.transpose()?,
            looked: None,
        };
        if pins.shutter.is_none() && pins.led.is_none() && pins.fan.is_none() {
            return Ok(None);
        }
        let shared = Arc::clone(shared);
        let thermometer = Thermometer::find();
        let watch = move || {
            let mut told = false;
            while !shared.is_stopped() && shared.phase() != Phase::Ended {
                if let Err(problem) = pins.tick(&shared.phase(), &thermometer, &pressed)
                    && !std::mem::replace(&mut told, true)
                {
                    tell(format!("note: a GPIO line failed: {problem}"));
                }
                std::thread::sleep(TICK);
            }
            pins.end();
        };
        let thread = std::thread::Builder::new().name("pins".into()).spawn(watch);
        Ok(Some(thread.map_err(super::error::CameraError::Thread)?))
    }

    /// There are no lines to open.
    ///
    /// # Errors
    /// [`GpioError::OtherSystem`] when one is asked for.
    #[cfg(not(target_os = "linux"))]
    pub fn start(
        &self,
        _shared: &Arc<Shared>,
        _pressed: Arc<AtomicU64>,
        _tell: impl Fn(String) + Send + 'static,
    ) -> Result<Option<std::thread::JoinHandle<()>>> {
        if self.shutter.is_some() || self.led.is_some() || self.fan.is_some() {
            return Err(GpioError::OtherSystem.into());
        }
        Ok(None)
    }
}

impl<I: InputPin, O: OutputPin> Pins<I, O> {
    /// Looks at everything once. All pins are served, whatever fails; the last problem is returned.
    fn tick(&mut self, phase: &Phase, thermometer: &Thermometer, pressed: &AtomicU64) -> Result<(), String> {
        let mut problem = Ok(());
        if let Some(shutter) = &mut self.shutter {
            match shutter.poll() {
                Ok(true) => {
                    pressed.fetch_add(1, Ordering::Relaxed);
                }
                Ok(false) => {}
                Err(e) => problem = Err(format!("shutter: {e:?}")),
            }
        }
        if let Some(led) = &mut self.led {
            let state = match phase {
                Phase::Running => State::Running,
                Phase::Waiting | Phase::Searching { .. } => State::Searching,
                Phase::Ended => State::Off,
            };
            problem = led.show(state).map_err(|e| format!("led: {e:?}")).and(problem);
        }
        if let Some(fan) = &mut self.fan
            && self.looked.is_none_or(|at| at.elapsed() >= THERMOMETER)
        {
            self.looked = Some(Instant::now());
            problem = fan.update(thermometer.read()).map_err(|e| format!("fan: {e:?}")).and(problem);
        }
        problem
    }

    /// The light goes off. The fan stays as it is: the processor is still hot.
    fn end(&mut self) {
        if let Some(led) = &mut self.led {
            let _ = led.show(State::Off);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use embedded_hal_mock::eh1::digital::{Mock, State as Level, Transaction};

    #[test]
    fn all_pins_are_served() {
        let thermometer = Thermometer::find();
        let mut button = Mock::new(&[Transaction::get(Level::High), Transaction::get(Level::High)]);
        let mut light = Mock::new(&[Transaction::set(Level::High), Transaction::set(Level::Low)]);
        // Hotter than any limit, or unknown: it runs.
        let mut wind = Mock::new(&[Transaction::set(Level::High)]);
        let pressed = AtomicU64::new(0);
        let mut pins = Pins {
            shutter: Some(Shutter::new(button.clone(), false)),
            led: Some(Led::new(light.clone(), false)),
            fan: Some(Fan::new(wind.clone(), false, -300.0, -400.0).unwrap()),
            looked: None,
        };
        pins.tick(&Phase::Running, &thermometer, &pressed).unwrap();
        pins.tick(&Phase::Running, &thermometer, &pressed).unwrap();
        assert_eq!(pressed.load(Ordering::Relaxed), 1);
        pins.end();
        [&mut button, &mut light, &mut wind].into_iter().for_each(Mock::done);
    }

    #[test]
    fn one_broken_pin_does_not_stop_the_others() {
        let broken = embedded_hal_mock::eh1::MockError::Io(std::io::ErrorKind::NotConnected);
        let mut button = Mock::new(&[Transaction::get(Level::Low).with_error(broken)]);
        let mut light = Mock::new(&[Transaction::set(Level::High)]);
        let mut pins = Pins {
            shutter: Some(Shutter::new(button.clone(), false)),
            led: Some(Led::new(light.clone(), false)),
            fan: None,
            looked: None,
        };
        let problem = pins.tick(&Phase::Running, &Thermometer::find(), &AtomicU64::new(0)).unwrap_err();
        assert!(problem.starts_with("shutter"), "{problem}");
        [&mut button, &mut light].into_iter().for_each(Mock::done);
    }
}
