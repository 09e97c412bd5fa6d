//! The loader, an instance of it, and what its devices say of themselves.

use crate::error::{Error, Result};
use ash::vk;
use std::ffi::CStr;
use std::sync::Arc;

/// The newest version whose promises are used where they are given.
const VERSION: u32 = vk::API_VERSION_1_3;

/// A Vulkan instance. The loader stays open as long as it lives.
pub(crate) struct Instance {
    pub handle: ash::Instance,
    _entry: ash::Entry,
}

impl Drop for Instance {
    fn drop(&mut self) {
        // SAFETY: all that is made of an instance holds it by its `Arc`, so nothing is left.
        unsafe { self.handle.destroy_instance(None) };
    }
}

/// What a device says of itself.
#[derive(Clone)]
pub(crate) struct Properties {
    pub handle: vk::PhysicalDevice,
    pub name: String,
    pub driver: String,
    pub kind: vk::PhysicalDeviceType,
    /// Vulkan's version, of device and instance.
    pub version: u32,
    pub rounds_to_even: bool,
    pub dot: bool,
    pub dot_accelerated: bool,
    pub matrices: bool,
    pub families: Vec<vk::QueueFamilyProperties>,
    pub limits: vk::PhysicalDeviceLimits,
    /// Extensions that it needs to be told for what its version does not promise.
    pub extensions: Vec<&'static CStr>,
}

impl Instance {
    /// Opens the loader.
    pub fn new() -> Result<Arc<Self>> {
        let none = |reason: String| Error::NoLoader { reason };
        // SAFETY: loading a library runs its initializers; this is the system's Vulkan loader under its standard name.
        let entry = unsafe { ash::Entry::load() }.map_err(|error| none(error.to_string()))?;
        // SAFETY: a global command without preconditions.
        let version = unsafe { entry.try_enumerate_instance_version() }.ok().flatten();
        if version.is_none_or(|version| version < vk::API_VERSION_1_1) {
            return Err(none("the loader is older than Vulkan 1.1".into()));
        }
        let application = vk::ApplicationInfo::default()
            .application_name(c"mcir")
            .engine_name(c"mcir")
            .api_version(VERSION.min(version.unwrap_or(VERSION)));
        let info = vk::InstanceCreateInfo::default().application_info(&application);
        // SAFETY: the structures live until the call returns.
        let handle = unsafe { entry.create_instance(&info, None) }
            .map_err(|code| none(format!("there is no driver (vkCreateInstance: {code})")))?;
        Ok(Arc::new(Self { handle, _entry: entry }))
    }

    /// All devices in the loader's order.
    pub fn devices(&self) -> Result<Vec<Properties>> {
        // SAFETY: the instance is alive.
        let handles = unsafe { self.handle.enumerate_physical_devices() };
        let handles = handles.map_err(|code| failed("vkEnumeratePhysicalDevices", code))?;
        handles.into_iter().map(|handle| self.properties(handle)).collect()
    }

    fn properties(&self, handle: vk::PhysicalDevice) -> Result<Properties> {
        // SAFETY: the handle is one of this instance's devices.
        let (basic, extensions, families) = unsafe {
            (
                self.handle.get_physical_device_properties(handle),
                self.handle.enumerate_device_extension_properties(handle),
                self.handle.get_physical_device_queue_family_properties(handle),
            )
        };
        let extensions = extensions.map_err(|code| failed("vkEnumerateDeviceExtensionProperties", code))?;
        let has = |name: &CStr| extensions.iter().any(|e| e.extension_name_as_c_str() == Ok(name));
        let version = basic.api_version.min(VERSION);
        let mut needed = Vec::new();
        // Whether something may be asked about, and used: by its version or by an extension that is then told.
        let mut promised = |since: u32, name: &'static CStr| {
            let extension = version < since && has(name);
            needed.extend(extension.then_some(name));
            version >= since || extension
        };
        let controls = promised(vk::API_VERSION_1_2, ash::khr::shader_float_controls::NAME);
        let dots = promised(vk::API_VERSION_1_3, ash::khr::shader_integer_dot_product::NAME);
        let driver = promised(vk::API_VERSION_1_2, ash::khr::driver_properties::NAME);
        let mut float_controls = vk::PhysicalDeviceFloatControlsProperties::default();
        let mut dot_properties = vk::PhysicalDeviceShaderIntegerDotProductProperties::default();
        let mut driver_properties = vk::PhysicalDeviceDriverProperties::default();
        let mut dot_features = vk::PhysicalDeviceShaderIntegerDotProductFeatures::default();
        let mut properties = vk::PhysicalDeviceProperties2::default();
        let mut features = vk::PhysicalDeviceFeatures2::default();
        if controls {
            properties = properties.push_next(&mut float_controls);
        }
        if driver {
            properties = properties.push_next(&mut driver_properties);
        }
        if dots {
            properties = properties.push_next(&mut dot_properties);
            features = features.push_next(&mut dot_features);
        }
        if version >= vk::API_VERSION_1_1 {
            // SAFETY: version 1.1 has both calls; the chains hold only structures that the device knows, and outlive the calls.
            unsafe {
                self.handle.get_physical_device_properties2(handle, &mut properties);
                self.handle.get_physical_device_features2(handle, &mut features);
            }
        }
        let text = |text: std::result::Result<&CStr, _>| text.map(|t| t.to_string_lossy().into_owned());
        let driver = [driver_properties.driver_name_as_c_str(), driver_properties.driver_info_as_c_str()]
            .map(|part| text(part).unwrap_or_default())
            .join(" ");
        Ok(Properties {
            handle,
            name: text(basic.device_name_as_c_str()).unwrap_or_default(),
            driver: driver.trim().into(),
            kind: basic.device_type,
            version,
            rounds_to_even: float_controls.shader_rounding_mode_rte_float32 == vk::TRUE,
            dot: dot_features.shader_integer_dot_product == vk::TRUE,
            dot_accelerated: dot_properties.integer_dot_product4x8_bit_packed_signed_accelerated == vk::TRUE,
            matrices: has(ash::khr::cooperative_matrix::NAME),
            families,
            limits: basic.limits,
            extensions: needed,
        })
    }
}

/// A call that failed.
pub(crate) fn failed(call: &'static str, code: vk::Result) -> Error {
    match code {
        vk::Result::ERROR_DEVICE_LOST => Error::Lost,
        vk::Result::ERROR_OUT_OF_DEVICE_MEMORY | vk::Result::ERROR_OUT_OF_HOST_MEMORY => {
            Error::OutOfMemory { bytes: 0 }
        }
        _ => Error::Vulkan { call, code: code.as_raw() },
    }
}
