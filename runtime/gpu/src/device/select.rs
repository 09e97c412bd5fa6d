//! Which device is taken.

use super::instance::{Instance, Properties};
use crate::error::{Error, Result};
use ash::vk;
use std::sync::Arc;

/// A device as users see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Its number in the loader's order.
    pub index: usize,
    /// Its name, as the driver gives it.
    pub name: String,
    /// The driver with its version.
    pub driver: String,
    /// Vulkan's version.
    pub vulkan: String,
    /// What kind of processor it is.
    pub kind: Kind,
    /// Whether there is an instruction that multiplies and adds four bytes, and whether it is fast.
    pub dot: bool,
    /// Whether the driver calls that instruction fast.
    pub dot_accelerated: bool,
    /// Whether the driver has cooperative matrices.
    pub matrices: bool,
    /// What keeps it from being used, if something does.
    pub lacks: Option<&'static str>,
}

/// Kinds of devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A GPU that shares the processor's memory.
    Integrated,
    /// A GPU with memory of its own.
    Discrete,
    /// A GPU of another machine, as a virtual machine sees it.
    Virtual,
    /// A driver in software, on the processor.
    Software,
    /// Something else.
    Other,
}

impl Kind {
    /// Its name in messages and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Integrated => "integrated",
            Self::Discrete => "discrete",
            Self::Virtual => "virtual",
            Self::Software => "software",
            Self::Other => "other",
        }
    }

    const fn of(kind: vk::PhysicalDeviceType) -> Self {
        match kind {
            vk::PhysicalDeviceType::INTEGRATED_GPU => Self::Integrated,
            vk::PhysicalDeviceType::DISCRETE_GPU => Self::Discrete,
            vk::PhysicalDeviceType::VIRTUAL_GPU => Self::Virtual,
            vk::PhysicalDeviceType::CPU => Self::Software,
            _ => Self::Other,
        }
    }
}

/// Which device to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Selection {
    /// The best real GPU; never a driver in software.
    #[default]
    Best,
    /// The best GPU; a driver in software where there is nothing else.
    Any,
    /// The one with this number.
    Index(usize),
}

/// All devices of this system.
///
/// # Errors
/// [`Error::NoLoader`] where there is no Vulkan.
pub fn devices() -> Result<Vec<DeviceInfo>> {
    let all = Instance::new()?.devices()?;
    Ok(all.iter().enumerate().map(|(index, properties)| info(index, properties)).collect())
}

fn info(index: usize, properties: &Properties) -> DeviceInfo {
    let version = properties.version;
    DeviceInfo {
        index,
        name: properties.name.clone(),
        driver: properties.driver.clone(),
        vulkan: format!("{}.{}", vk::api_version_major(version), vk::api_version_minor(version)),
        kind: Kind::of(properties.kind),
        dot: properties.dot,
        dot_accelerated: properties.dot_accelerated,
        matrices: properties.matrices,
        lacks: lacks(properties),
    }
}

/// What keeps a device from being used.
fn lacks(properties: &Properties) -> Option<&'static str> {
    let limits = &properties.limits;
    if properties.version < vk::API_VERSION_1_1 {
        Some("it has Vulkan 1.0 only")
    } else if !properties.rounds_to_even {
        Some("it does not promise to round floats half to even (shaderRoundingModeRTEFloat32)")
    } else if compute_family(properties).is_none() {
        Some("it has no queue for compute shaders")
    } else if limits.max_compute_work_group_invocations < 128 || limits.max_compute_shared_memory_size < 16384
    {
        Some("its workgroups are too small")
    } else {
        None
    }
}

/// The queue family that frames are sent to: one for compute alone where there is one, so that displays do not wait.
pub(crate) fn compute_family(properties: &Properties) -> Option<u32> {
    let with = |wanted: vk::QueueFlags, unwanted: vk::QueueFlags| {
        let fits = |family: &vk::QueueFamilyProperties| {
            family.queue_count > 0
                && family.queue_flags.contains(wanted)
                && !family.queue_flags.intersects(unwanted)
        };
        properties.families.iter().position(fits).map(|at| at as u32)
    };
    with(vk::QueueFlags::COMPUTE, vk::QueueFlags::GRAPHICS)
        .or_else(|| with(vk::QueueFlags::COMPUTE, vk::QueueFlags::empty()))
}

/// The device that is asked for.
pub(crate) fn select(instance: &Arc<Instance>, selection: Selection) -> Result<(DeviceInfo, Properties)> {
    let all = instance.devices()?;
    let count = all.len();
    let mut all: Vec<_> = all.into_iter().enumerate().map(|(i, p)| (info(i, &p), p)).collect();
    if let Selection::Index(index) = selection {
        if index >= count {
            return Err(Error::NoSuchDevice { index, count });
        }
        let (info, properties) = all.swap_remove(index);
        return match info.lacks {
            Some(lacks) => Err(Error::Unusable { device: info.name, lacks }),
            None => Ok((info, properties)),
        };
    }
    // The fastest kind first; the loader's order among equals.
    let rank = |info: &DeviceInfo| match info.kind {
        Kind::Discrete => 0,
        Kind::Integrated => 1,
        Kind::Virtual => 2,
        Kind::Other => 3,
        Kind::Software => 4,
    };
    all.sort_by_key(|(info, _)| rank(info));
    let usable = |info: &DeviceInfo| {
        info.lacks.is_none() && (selection == Selection::Any || info.kind != Kind::Software)
    };
    if let Some(at) = all.iter().position(|(info, _)| usable(info)) {
        return Ok(all.swap_remove(at));
    }
    let why = |info: &DeviceInfo| {
        format!("{}: {}", info.name, info.lacks.unwrap_or("it is a driver in software, slower than the CPU"))
    };
    Err(Error::NoDevice { refused: all.iter().map(|(info, _)| why(info)).collect() })
}
