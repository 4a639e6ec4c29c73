//! What users of the library rely on, part by part, against the public interface.
//!
//! One program holds them all, since linking takes longer than running. Tests that count allocations
//! need the process to themselves and are programs of their own beside this folder.

mod adapters;
mod audit_outside;
mod compress;
mod data_damage;
mod data_digits;
mod data_load;
mod data_shared;
mod fit_support;
mod fixed_sizes;
mod formats;
mod generate_cached;
mod generate_support;
mod generate_text;
mod io_checksums;
mod io_format;
mod io_import;
mod io_model;
mod io_save;
mod layer_names;
mod models_vision;
mod own_models;
mod published_architectures;
mod published_checkpoints;
mod published_settings;
mod published_support;
mod qat;
mod quantization_errors;
mod quantization_fold;
mod quantization_groups;
mod quantization_ladder;
mod quantization_means;
mod quantization_rungs;
mod quantization_seam;
mod resnet20;
mod signals;
mod text_bad_input;
mod text_bpe;
mod text_hf;
mod text_import;
mod text_int8;
mod text_kinds;
mod text_llama2c;
mod text_minilm;
mod text_plan;
mod text_sentencepiece;
mod text_stories;
mod train_optim;
mod train_resume;
mod train_support;
mod train_trainer;
