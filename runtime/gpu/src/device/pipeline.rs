//! Kernels as pipelines.

use super::instance::failed;
use crate::error::Result;
use crate::kernel::{Kernel, Push};
use ash::vk;

/// Buffers that kernels see: constants, arena, input and output.
pub(crate) const BINDINGS: usize = 4;

/// What all pipelines have in common.
pub(crate) struct PipelineLayout {
    pub set: vk::DescriptorSetLayout,
    pub handle: vk::PipelineLayout,
}

impl PipelineLayout {
    pub fn new(device: &ash::Device) -> Result<Self> {
        let bindings: [_; BINDINGS] = std::array::from_fn(|binding| {
            vk::DescriptorSetLayoutBinding::default()
                .binding(binding as u32)
                .descriptor_type(vk::DescriptorType::STORAGE_BUFFER)
                .descriptor_count(1)
                .stage_flags(vk::ShaderStageFlags::COMPUTE)
        });
        let info = vk::DescriptorSetLayoutCreateInfo::default().bindings(&bindings);
        // SAFETY: everything pointed to outlives the call.
        let set = unsafe { device.create_descriptor_set_layout(&info, None) };
        let set = set.map_err(|code| failed("vkCreateDescriptorSetLayout", code))?;
        let sets = [set];
        let ranges = [vk::PushConstantRange::default()
            .stage_flags(vk::ShaderStageFlags::COMPUTE)
            .size(size_of::<Push>() as u32)];
        let info = vk::PipelineLayoutCreateInfo::default().set_layouts(&sets).push_constant_ranges(&ranges);
        // SAFETY: everything pointed to outlives the call.
        match unsafe { device.create_pipeline_layout(&info, None) } {
            Ok(handle) => Ok(Self { set, handle }),
            Err(code) => {
                // SAFETY: it was just made, and nothing uses it.
                unsafe { device.destroy_descriptor_set_layout(set, None) };
                Err(failed("vkCreatePipelineLayout", code))
            }
        }
    }

    /// # Safety
    /// It was made by this device, and nothing uses it any more.
    pub unsafe fn destroy(&self, device: &ash::Device) {
        // SAFETY: as above.
        unsafe {
            device.destroy_pipeline_layout(self.handle, None);
            device.destroy_descriptor_set_layout(self.set, None);
        }
    }
}

/// A kernel that can be dispatched. The device destroys it.
pub(crate) struct Pipeline {
    pub handle: vk::Pipeline,
}

impl Pipeline {
    pub fn new(device: &ash::Device, layout: &PipelineLayout, kernel: &Kernel) -> Result<Self> {
        let words = kernel.module.words();
        let info = vk::ShaderModuleCreateInfo::default().code(&words);
        // SAFETY: the words are one of our own modules, which are valid SPIR-V.
        let module = unsafe { device.create_shader_module(&info, None) };
        let module = module.map_err(|code| failed("vkCreateShaderModule", code))?;
        let entries: Vec<_> = (0..kernel.constants.len() as u32)
            .map(|id| vk::SpecializationMapEntry { constant_id: id, offset: 4 * id, size: 4 })
            .collect();
        let constants = vk::SpecializationInfo::default()
            .map_entries(&entries)
            .data(bytemuck::cast_slice(&kernel.constants));
        let stage = vk::PipelineShaderStageCreateInfo::default()
            .stage(vk::ShaderStageFlags::COMPUTE)
            .module(module)
            .name(c"main")
            .specialization_info(&constants);
        let info = vk::ComputePipelineCreateInfo::default().stage(stage).layout(layout.handle);
        // SAFETY: everything pointed to outlives the call; the layout is that of all our modules. A module may go as soon as its
        // pipelines are made.
        let made = unsafe {
            let made = device.create_compute_pipelines(vk::PipelineCache::null(), &[info], None);
            device.destroy_shader_module(module, None);
            made
        };
        let handles = made.map_err(|(_, code)| failed("vkCreateComputePipelines", code))?;
        Ok(Self { handle: handles[0] })
    }
}
