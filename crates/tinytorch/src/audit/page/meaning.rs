//! What each gate means, in words.

/// What a gate asks, in one sentence; nothing for a gate that this page has not heard of.
pub(super) fn of(gate: &str) -> &'static str {
    match gate {
        "f32_floor" => {
            "The float model does its task as well as stated, or at least better than chance."
        }
        "unseen" => "None of the samples that judge was calibrated on, by their digests.",
        "batches" => {
            "A sample gets the same outputs alone, in a pair, and among any number of others."
        }
        "structure" => "Quantizing changed how weights are stored, and nothing else.",
        "coverage" => "Weights are stored and multiplied as int8, not unpacked to floats on use.",
        "likeness" => {
            "The int8 outputs are alike to the float outputs by the measure that was asked for."
        }
        "sequence" => {
            "The int8 outputs stay close to the float outputs where each model goes on from its own state."
        }
        "output_error" => "The int8 outputs lie close to the float outputs.",
        "accuracy" => {
            "The int8 model is as good at its task as the float model, beyond what chance explains."
        }
        "agreement" => {
            "Both models give the same first answer, right or wrong, beyond what chance explains."
        }
        "classes" => "Every class and group is recognized as before, however rare it is.",
        "weight_bytes" => "The weights take a quarter of the memory, by the allocator's count.",
        "file_bytes" => "The model's file takes a quarter of the disk.",
        "process_memory" => {
            "A fresh process with the model is smaller, by the operating system's count."
        }
        "no_f32_copy" => "No float copy of the weights appears while the int8 model runs.",
        "latency" => "Int8 is not slower than float, timed in turn on the same machine.",
        "round_trip" => "A model that is saved and loaded gives the same output, bit for bit.",
        "determinism" => "The result depends on neither instruction set nor number of threads.",
        "exactness" => {
            "The engine gives what the integers of the file give, and does not saturate."
        }
        "parameters" => {
            "The file's weights and ranges, as it says they are read, are those of the float model."
        }
        "overflow" => "No integer sum can overflow, proved from the weights themselves.",
        "calibration" => "Calibrating on data beats the best ranges that can be had without data.",
        _ => "",
    }
}
