//! The command `audit`.

use super::baseline::Baseline;
use super::{audit_by_text, audit_text, ci};
use crate::Verdict;
use crate::arrays::Arrays;
use crate::black_box::{Foreign, Places};
use crate::data::{Judging, Part, Source, check_examples};
use crate::engine::Engine;
use crate::feedback::States;
use crate::metrics::Metrics;
use crate::open::kinds;
use crate::output::Screen;
use crate::overwrite::Paths;
use crate::own_form::{given_as, in_our_form, in_our_forms};
use crate::pictures::Pictures;
use crate::problem::Problem;
use crate::sentences::is_text;
use crate::share::{Floor, Share};
use anyhow::{Context, Result};
use clap::Args;
use std::borrow::Cow;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use tinytorch::audit::{
    AuditOptions, Budget, HeldOut, Metric, ModelFiles, ModelReport, Probe, REFERENCES, Report,
    Subject, Task, audit_model, audit_outside, page,
};
use tinytorch::data::Labels;
use tinytorch::files::{TemporaryFolder, check_writable, replace};
use tinytorch::models::{compile, run};
use tinytorch::train::ProgressBar;
use tinytorch_kernels::os::FreeAtOnce;

/// Judge an int8 model against the float model that it was made from, by measurements.
///
/// Without arguments the reference models are trained, quantized and judged. The exit code is 0 only if
/// every gate passes.
#[derive(Args)]
pub(crate) struct Audit {
    /// The float model: a file, or a folder with config.json, weights and tokenizer
    #[arg(value_name = "FP32", requires_all = ["int8", "data"])]
    float: Option<PathBuf>,
    /// The int8 model that was made from it, a file or a folder
    #[arg(value_name = "INT8")]
    int8: Option<PathBuf>,
    /// Folder or file with labeled samples to judge by, or `digits` or `tinytalks`, which are embedded; a .txt
    /// file for a language model, or with a sentence on each line for a sentence encoder
    #[arg(long, value_name = "PATH|digits|tinytalks", requires = "float")]
    data: Option<Source>,
    /// Which column of a .csv holds the labels, where its names or values do not tell
    #[arg(long, value_name = "first|last|NAME", requires = "data")]
    labels: Option<Labels>,
    #[command(flatten)]
    judge: Judge,
    /// Largest error of the output, as a fraction or in percent; 1 % unless this is given, and of vectors that are
    /// judged by their cosine 4.5 %, at which that is 0.999
    #[arg(long, value_name = "SHARE")]
    max_error: Option<Share>,
    /// Accuracy that the float model must reach to be worth the test, or perplexity that it must not
    /// exceed
    #[arg(long, value_name = "ACCURACY|PERPLEXITY", requires = "float")]
    float_floor: Option<Floor>,
    /// Leave out the timing gate
    #[arg(long)]
    no_latency: bool,
    /// Folder for report.html and report.json
    #[arg(long, value_name = "DIR", default_value = "audit-report")]
    out: PathBuf,
    /// Print the report as JSON instead of a table
    #[arg(long)]
    json: bool,
    /// The int8 model as it was before it was fine-tuned: what may differ from the float model is what has
    /// changed since
    #[arg(long, value_name = "INT8", requires = "float")]
    before: Option<PathBuf>,
    /// Run ONNX files in this engine, which is installed for Python, and judge what it answers; other files run
    /// here. TINYTORCH_PYTHON names the interpreter
    #[arg(long, requires = "float")]
    engine: Option<Engine>,
    /// The report.json of another audit: say what has moved since
    #[arg(long, value_name = "REPORT")]
    baseline: Option<PathBuf>,
    /// File to write the gates to as JUnit's XML, for systems that gate on it
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Print the gates that did not pass as annotations of a GitHub workflow, too
    #[arg(long, conflicts_with = "json")]
    github: bool,
    /// Seed of the reference models' weights, data order and calibration samples
    #[arg(long, value_name = "N", default_value_t = 0, conflicts_with = "float")]
    seed: u64,
}

/// What data are made into, and what outputs are judged by.
#[derive(Args, Clone, Default)]
pub(crate) struct Judge {
    #[command(flatten)]
    pictures: Pictures,
    #[command(flatten)]
    states: States,
    #[command(flatten)]
    metrics: Metrics,
}

impl Audit {
    pub(crate) fn paths(&self) -> Paths<'_> {
        let models = [&self.float, &self.int8, &self.before];
        let models = models.into_iter().filter_map(|file| file.as_deref());
        let paths = Paths::to(self.data_path()).and_to(Some(self.page_path()));
        models
            .fold(paths.and_to(self.junit.as_deref()), |paths, file| paths.reading(file))
            .reading(self.data.as_ref().and_then(Source::path))
    }

    pub(crate) fn run(self, probe: Probe, screen: &mut Screen) -> Result<Verdict> {
        let _freed = FreeAtOnce::new();
        let (folder, was_there) = (self.out.clone(), self.out.exists());
        let verdict = self.judged(probe, screen);
        if verdict.is_err() && !was_there {
            // It may not be there, and goes only if nothing is in it.
            let _ = std::fs::remove_dir(folder);
        }
        verdict
    }

    fn judged(self, probe: Probe, screen: &mut Screen) -> Result<Verdict> {
        // Read before it may be replaced, and before the long work.
        let baseline = self.baseline.as_deref().map(Baseline::read).transpose()?;
        let models = match (&self.float, &self.int8, &self.data) {
            (Some(float), Some(int8), Some(data)) => {
                // The fresh processes that measure memory read files of one form.
                let folder = TemporaryFolder::new().context("cannot make a temporary folder")?;
                let files: [&Path; 2] = [float, int8];
                let ours = match self.engine {
                    // An engine may read what is not read here.
                    Some(_) => [in_our_form(float, folder.path())?, Cow::Borrowed(files[1])],
                    None => in_our_forms(files, folder.path())?,
                };
                let ours = [&*ours[0], &*ours[1]];
                let data = data.clone().with_labels(self.labels.as_ref());
                let foreign = match self.engine {
                    Some(_) => Some(Foreign::any(files)?),
                    None => Foreign::of(ours)?,
                };
                if let Some(foreign) = foreign {
                    let places = Places { files, ours };
                    vec![self.judge_foreign(&foreign, places, &data, probe)?]
                } else {
                    let subject = subject(files, ours, &data, &self.judge, self.before.as_deref())?;
                    let budget = self.budget(&subject.task)?;
                    vec![self.judge(&subject, budget, probe)?]
                }
            }
            _ => self.judge_references(probe)?,
        };
        let report = Report::new(models);
        let json = serde_json::to_string_pretty(&report)?;
        let (data, page) = (self.data_path(), self.page_path());
        replace(&data, |file| file.write_all(json.as_bytes()))?;
        replace(&page, |file| file.write_all(page::render(&report).as_bytes()))?;
        if let Some(junit) = &self.junit {
            replace(junit, |file| file.write_all(ci::junit(&report).as_bytes()))?;
        }
        if self.json {
            writeln!(screen, "{json}")?;
        } else {
            let styled = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            for model in &report.models {
                writeln!(screen, "{}", audit_text::of(model, styled)?)?;
            }
            let machine = &report.machine;
            let (isa, threads) = (machine.isa, machine.threads);
            writeln!(screen, "{}, {}, {isa}, {threads} threads", report.tool, report.date)?;
            writeln!(screen, "report: {}, {}", page.display(), data.display())?;
            if let Some(baseline) = &baseline {
                let moved = baseline.moved(&serde_json::from_str(&json)?);
                writeln!(screen, "since {}: {} moved", baseline.date(), moved.len())?;
                for line in moved {
                    writeln!(screen, "  {line}")?;
                }
            }
            if self.github {
                write!(screen, "{}", ci::github(&report))?;
            }
            let verdicts: Vec<String> = report.models.iter().map(ci::verdict).collect();
            writeln!(screen, "verdict: {}", verdicts.join("; "))?;
        }
        Ok(if report.passed() { Verdict::Good } else { Verdict::GateFailed })
    }

    fn data_path(&self) -> PathBuf {
        self.out.join("report.json")
    }

    fn page_path(&self) -> PathBuf {
        self.out.join("report.html")
    }

    fn judge_references(&self, probe: Probe) -> Result<Vec<ModelReport>> {
        self.make_folder()?;
        let mut models = Vec::new();
        for reference in REFERENCES {
            let (subject, budget) = reference.prepare(self.seed, ProgressBar::new())?;
            let max_error = self.max_error.map_or(budget.max_error, |Share(share)| share);
            let budget = Budget { max_error, ..budget };
            models.push(self.judge(&subject, budget, probe.clone())?);
        }
        Ok(models)
    }

    /// Judges two graphs by their answers.
    fn judge_foreign(
        &self,
        foreign: &Foreign,
        places: Places<'_>,
        data: &Source,
        probe: Probe,
    ) -> Result<ModelReport> {
        if self.before.is_some() {
            return Err(Problem::ForeignBefore.into());
        }
        if !self.judge.states.is_empty() {
            return Err(Problem::ForeignState.into());
        }
        self.make_folder()?;
        let samples = foreign.samples(data, &self.judge.pictures)?;
        let task = samples.targets().first().map_or(Task::Regression, Task::for_target);
        let budget = self.budget(&task)?;
        let boxes = match self.engine {
            Some(engine) => foreign.boxes_in(engine, places, &samples, &probe)?,
            None => foreign.boxes(places, &samples, Some(&probe))?,
        };
        let options = AuditOptions { latency: !self.no_latency, ..AuditOptions::default() };
        let of = data.path().unwrap_or(Path::new("")).display().to_string();
        if self.judge.metrics.needs_labels() && samples.targets().is_empty() {
            return Err(Problem::NeedsLabels { data: of }.into());
        }
        let likeness = self.judge.metrics.likeness(&boxes[0])?;
        let told = |subject: Subject| {
            let subject = subject.judged_on(of, Part::All.words());
            Ok(match likeness {
                Some((likeness, limit)) => subject.alike_by(likeness, limit),
                None => subject,
            })
        };
        let report = audit_outside([&boxes[0], &boxes[1]], told, samples, &budget, &options)?;
        let why = match self.engine {
            Some(engine) => Some(format!("{} ran it", engine.module())),
            None => foreign.other_graph(),
        };
        Ok(ModelReport { answers_alone: why.or(report.answers_alone), ..report })
    }

    /// The limits, in the unit of the task.
    fn budget(&self, task: &Task) -> Result<Budget> {
        let float_floor = self.float_floor.map(|floor| floor.of(task)).transpose()?;
        let max_error = self.max_error.map_or_else(|| task.usual_error(), |Share(share)| share);
        Ok(Budget { max_error, float_floor })
    }

    fn judge(&self, subject: &Subject, budget: Budget, probe: Probe) -> Result<ModelReport> {
        self.make_folder()?;
        let (probe, latency) = (Some(probe), !self.no_latency);
        let options = AuditOptions { probe, latency, ..AuditOptions::default() };
        Ok(audit_model(subject, &budget, &options)?)
    }

    /// Makes sure that the reports can be written before the long work.
    fn make_folder(&self) -> Result<()> {
        std::fs::create_dir_all(&self.out)
            .with_context(|| format!("cannot make the folder {}", self.out.display()))?;
        check_writable(self.data_path())?;
        if let Some(junit) = &self.junit {
            check_writable(junit)?;
        }
        Ok(check_writable(self.page_path())?)
    }
}

/// Two models in the files that were given, read from files that fresh processes read, and the samples to judge them by.
pub(crate) fn subject(
    given: [&Path; 2],
    paths: [&Path; 2],
    data: &Source,
    judge: &Judge,
    before: Option<&Path>,
) -> Result<Subject> {
    let [float, int8] = paths;
    let files = ModelFiles::open_made_of(given_as(given, paths)?, float, int8, &kinds())?;
    let pictures = judge.pictures.clone().or_noted(files.provenances()[1]);
    let feedback = judge.states.clone().or_noted(files.provenances()[1]).of(files.models()[0])?;
    let likeness = judge.metrics.likeness(files.models()[0])?;
    let (arrays, text) = match data.path() {
        Some(path) if Arrays::are_in(path, files.models()[0]) => (Some(path), None),
        Some(path) if is_text(path) => (None, Some(path)),
        _ => (None, None),
    };
    let subject = if let Some(feedback) = feedback {
        let data = data.to_string();
        let Some(path) = arrays else { return Err(Problem::NoSteps { data }.into()) };
        if judge.metrics.needs_labels() {
            return Err(Problem::LabelsOfSteps.into());
        }
        let sequence = Arrays::sequence(path, files.models()[0], &pictures, &feedback)?;
        let mut plan = compile(files.models()[0], &sequence.first()?)?;
        let met = sequence.met(|inputs| run(&mut plan, inputs))?;
        let files = files.judged_by(HeldOut::in_steps(met, sequence.len())?);
        let subject = files.with_context(|| int8.display().to_string())?;
        subject.over(sequence).judged_on(data, Part::All.words())
    } else if let Some(path) = arrays {
        let Arrays { inputs, labels, told } = Arrays::read(path, files.models()[0], &pictures)?;
        if judge.metrics.needs_labels() && labels.is_none() {
            return Err(Problem::NeedsLabels { data: path.display().to_string() }.into());
        }
        let files = files.judged_by(HeldOut::new(inputs, labels)?);
        let subject = files.with_context(|| int8.display().to_string())?;
        let data = path.display();
        let data = told.map_or_else(|| data.to_string(), |told| format!("{data}, {told}"));
        subject.judged_on(data, Part::All.words())
    } else if let Some(text) = text {
        audit_by_text::subject(paths, files, text)?
    } else {
        let own = match data.is_text() {
            true => audit_by_text::own_reader(paths, &files)?,
            false => None,
        };
        let Judging { name, samples, part } =
            data.to_judge(files.models()[0], &files.provenances(), own.as_deref())?;
        for model in files.models() {
            check_examples(&samples, &name, model)?;
        }
        let subject = files.judged_by(samples).with_context(|| int8.display().to_string())?;
        subject.judged_on(name, part.words())
    };
    let subject = match likeness {
        Some((likeness, limit)) => subject.alike_by(likeness, limit),
        None => subject,
    };
    match before {
        Some(before) => {
            subject.fine_tuned_since(before).with_context(|| before.display().to_string())
        }
        None => Ok(subject),
    }
}
