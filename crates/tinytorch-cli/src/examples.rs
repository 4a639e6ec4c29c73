//! Examples at the end of every command's help.

use clap::Command;

/// Commands and what they are called like.
const EXAMPLES: [(&str, &[&str]); 15] = [
    (
        "audit",
        &[
            "tinytorch audit",
            "tinytorch audit cnn.safetensors cnn.int8.safetensors --data digits --float-floor 98%",
            "tinytorch audit all-MiniLM-L6-v2 MiniLM.int8 --data sentences.txt --max-error 5%",
        ],
    ),
    (
        "train",
        &[
            "tinytorch train --model digits-cnn --data digits --epochs 20 --out cnn.safetensors",
            "tinytorch train --model mlp --data flowers.csv --labels species --out flowers.safetensors",
            "tinytorch train cnn.safetensors --qat --data digits --out cnn.int4.safetensors --bits 4",
        ],
    ),
    (
        "import",
        &["tinytorch import resnet20.pt --architecture resnet20 --out resnet20.safetensors"],
    ),
    (
        "export",
        &[
            "tinytorch export model.int8.safetensors --out model.int8.onnx",
            "tinytorch export model.int8.safetensors --out model.int8.onnx --form qoperator",
        ],
    ),
    (
        "quantize",
        &[
            "tinytorch quantize cnn.safetensors --calibrate digits --out cnn.int8.safetensors",
            "tinytorch quantize cnn.safetensors --calibrate digits --max-error 0.5% --out q.safetensors",
            "tinytorch quantize all-MiniLM-L6-v2 --out MiniLM.int8",
        ],
    ),
    (
        "eval",
        &[
            "tinytorch eval cnn.int8.safetensors --data digits",
            "tinytorch eval stories260K --data stories.txt",
            "tinytorch eval all-MiniLM-L6-v2 --data sts-test.tsv",
        ],
    ),
    ("run", &["tinytorch run cnn.safetensors --input images.npy --out scores.npy"]),
    ("generate", &["tinytorch generate talks.safetensors --prompt \"Q: What\" --temperature 0.7"]),
    (
        "embed",
        &[
            "tinytorch embed all-MiniLM-L6-v2 --input sentences.txt --out vectors.npy",
            "head -n 3 sentences.txt | tinytorch embed all-MiniLM-L6-v2 --input - --out - > vectors.npy",
        ],
    ),
    ("inspect", &["tinytorch inspect cnn.int8.safetensors"]),
    ("verify", &["tinytorch verify cnn.safetensors cnn.int8.safetensors"]),
    ("profile", &["tinytorch profile cnn.int8.safetensors --json"]),
    (
        "bench",
        &[
            "tinytorch bench kernels",
            "tinytorch bench generate",
            "tinytorch bench model.onnx --batch 1",
        ],
    ),
    (
        "completions",
        &["tinytorch completions bash > ~/.local/share/bash-completion/completions/tinytorch"],
    ),
    ("man", &["tinytorch man > tinytorch.1", "tinytorch man quantize > tinytorch-quantize.1"]),
];

/// The command line with the examples of its commands.
pub(crate) fn added(command: Command) -> Command {
    EXAMPLES.iter().fold(command, |command, (name, examples)| {
        let text = format!("Examples:\n  {}", examples.join("\n  "));
        command.mut_subcommand(name, |command| command.after_help(text))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_examples_that_it_takes() {
        let mut command = crate::command_line();
        for subcommand in command.get_subcommands().filter(|found| found.get_name() != "help") {
            let name = subcommand.get_name();
            let help = subcommand.get_after_help();
            let help = help.unwrap_or_else(|| panic!("{name} has no examples")).to_string();
            assert!(help.contains(&format!("tinytorch {}", subcommand.get_name())), "{help}");
        }
        for example in EXAMPLES.iter().flat_map(|(_, examples)| *examples) {
            // What a shell would take for itself.
            let own = example.rsplit(" | ").next().unwrap();
            let called = own.split(" > ").next().unwrap().replace("\"Q: What\"", "Q");
            let read = command.try_get_matches_from_mut(called.split_whitespace());
            assert!(read.is_ok(), "{example}: {}", read.unwrap_err());
        }
    }
}
