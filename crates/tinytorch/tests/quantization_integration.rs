//! What quantizing promises, over the complete library: every integration test that the audit of
//! TinyTorch's quantization found missing, under the name that it gave. `README.md` in this folder says
//! which fault each of them would catch, and how to add tests for another part.

#[path = "quantization_integration/child.rs"]
mod child;
#[path = "quantization_integration/golden.rs"]
mod golden;
#[path = "quantization_integration/parts.rs"]
mod parts;
#[path = "quantization_integration/support.rs"]
mod support;

#[path = "quantization_integration/accuracy.rs"]
mod quantization_accuracy;
#[path = "quantization_integration/architectures.rs"]
mod quantization_architectures;
#[path = "quantization_integration/edge_cases.rs"]
mod quantization_edge_cases;
#[path = "quantization_integration/memory_savings.rs"]
mod quantization_memory_savings;
#[path = "quantization_integration/model_integrity.rs"]
mod quantization_model_integrity;
#[path = "quantization_integration/safety.rs"]
mod quantization_safety;
#[path = "quantization_integration/system_integration.rs"]
mod quantization_system_integration;
#[path = "quantization_integration/unit.rs"]
mod quantization_unit;

use tinytorch_kernels::os::CountingAllocator;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();
