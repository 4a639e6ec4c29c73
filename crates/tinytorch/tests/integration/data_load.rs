//! A data folder or file is recognized and loaded, and a wrong one is refused in one sentence that
//! names the file.

use std::fs;
use std::io::Write;
use std::path::Path;
use tinytorch::Tensor;
use tinytorch::data::{Dataset, Labeled, encode_npz, load, load_calibration, write_npy, write_npz};

/// An IDX file of bytes.
fn idx(dims: &[u32], values: &[u8]) -> Vec<u8> {
    let mut file = vec![0, 0, 8, dims.len() as u8];
    file.extend(dims.iter().flat_map(|d| d.to_be_bytes()));
    file.extend_from_slice(values);
    file
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A small MNIST: three training images of 2x2 pixels and two test images.
fn mnist(folder: &Path) {
    let file = |name: &str, bytes: &[u8]| fs::write(folder.join(name), bytes).unwrap();
    file("train-images-idx3-ubyte.gz", &gzip(&idx(&[3, 2, 2], &[255; 12])));
    file("train-labels-idx1-ubyte.gz", &gzip(&idx(&[3], &[0, 9, 1])));
    file("t10k-images-idx3-ubyte", &idx(&[2, 2, 2], &[0; 8]));
    file("t10k-labels.idx1-ubyte", &idx(&[2], &[2, 3]));
}

fn error(path: &Path) -> String {
    let text = load(path).unwrap_err().to_string();
    assert!(!text.contains('\n'), "more than one line: {text}");
    text
}

fn int64(values: &[i64]) -> Tensor {
    Tensor::from_vec(values.to_vec(), [values.len()]).unwrap()
}

fn shapes(data: &Labeled) -> (Vec<usize>, Option<Vec<usize>>) {
    let of = |t: &Tensor| t.shape().dims().to_vec();
    (of(data.train.inputs()), data.test.as_ref().map(|t| of(t.inputs())))
}

#[test]
fn a_folder_with_the_four_files_of_mnist() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("small-mnist");
    fs::create_dir(&path).unwrap();
    mnist(&path);
    let data = load(&path).unwrap();
    assert_eq!((data.name.as_str(), data.classes), ("small-mnist", 10));
    assert_eq!(shapes(&data), (vec![3, 1, 2, 2], Some(vec![2, 1, 2, 2])));
    assert_eq!(data.train.inputs().to_vec::<f32>().unwrap(), [1.0; 12]);
    assert_eq!(data.train.labels().to_vec::<i64>().unwrap(), [0, 9, 1]);
}

#[test]
fn a_missing_truncated_or_mismatched_file_of_mnist_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let labels = path.join("train-labels-idx1-ubyte.gz");
    let broken = |bytes: &[u8]| {
        mnist(path);
        fs::write(&labels, bytes).unwrap();
        let text = error(path);
        assert!(text.contains("train-labels-idx1-ubyte.gz"), "{text}");
        text
    };
    assert!(broken(&gzip(&idx(&[3], &[0, 1]))).contains("truncated"));
    assert!(broken(&gzip(&idx(&[3], &[0, 1, 2]))[..20]).contains("truncated"));
    assert!(broken(b"not IDX").contains("another format"));
    let text = broken(&gzip(&idx(&[3], &[0, 10, 1])));
    assert!(text.contains("label 10 of sample 1 is outside 0..10"), "{text}");
    let text = broken(&gzip(&idx(&[2], &[0, 1])));
    assert!(text.contains("holds 3 inputs but") && text.contains("holds 2 labels"), "{text}");
    fs::remove_file(&labels).unwrap();
    assert!(error(path).contains("train-labels-idx1-ubyte is missing"));
}

#[test]
fn files_of_cifar10() {
    let folder = tempfile::tempdir().unwrap();
    let record = |label: u8| [vec![label], vec![51; 3072]].concat();
    let batch = [record(3), record(9)].concat();
    fs::write(folder.path().join("data_batch_1.bin"), &batch).unwrap();
    fs::write(folder.path().join("data_batch_2.bin.gz"), gzip(&batch)).unwrap();
    fs::write(folder.path().join("test_batch.bin"), record(0)).unwrap();
    let data = load(folder.path()).unwrap();
    assert_eq!(data.classes, 10);
    assert_eq!(shapes(&data), (vec![4, 3, 32, 32], Some(vec![1, 3, 32, 32])));
    assert_eq!(data.train.labels().to_vec::<i64>().unwrap(), [3, 9, 3, 9]);
    let single = load(folder.path().join("data_batch_2.bin.gz")).unwrap();
    assert_eq!((single.name.as_str(), single.train.len()), ("data_batch_2", 2));
    fs::write(folder.path().join("data_batch_1.bin"), &batch[..5000]).unwrap();
    assert!(error(folder.path()).contains("data_batch_1.bin is truncated"));
}

#[test]
fn an_npz_under_its_usual_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("set.npz");
    let floats = Tensor::arange(6).unwrap().reshape([3, 2]).unwrap();
    let bytes = Tensor::from_vec(vec![255u8; 8], [2, 2, 2]).unwrap();
    let write = |arrays: &[(&str, &Tensor)]| write_npz(&path, arrays).unwrap();

    write(&[("x", &floats), ("y", &int64(&[0, 4, 1]))]);
    let data = load(&path).unwrap();
    assert_eq!((data.name.as_str(), data.classes), ("set", 5));
    assert_eq!(data.train.inputs().to_vec::<f32>().unwrap()[5], 5.0);

    let ones = Tensor::ones([2]).unwrap();
    write(&[("x_train", &bytes), ("y_train", &ones), ("x_test", &bytes), ("y_test", &ones)]);
    let data = load(folder.path()).unwrap();
    assert_eq!(shapes(&data), (vec![2, 1, 2, 2], Some(vec![2, 1, 2, 2])));
    assert_eq!(data.train.labels().to_vec::<i64>().unwrap(), [1, 1]);

    write(&[("x", &floats), ("y", &int64(&[0, 1]))]);
    let text = error(&path);
    assert!(text.contains("set.npz: x holds 3 inputs but"), "{text}");
    write(&[("x", &floats), ("y", &int64(&[0, -1, 0]))]);
    assert!(error(&path).contains("label -1 of sample 1"));
    write(&[("x", &Tensor::full(f32::NAN, [1, 2]).unwrap()), ("y", &int64(&[0]))]);
    assert!(error(&path).contains("sample 0 holds the value NaN"));
    write(&[("z", &floats)]);
    assert!(error(&path).contains("holds the arrays z"));
}

#[test]
fn a_csv_with_a_label_column() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("train.csv"), "a,label,b\n1,0,2\n3,2,4\n").unwrap();
    let data = load(folder.path()).unwrap();
    assert_eq!((data.classes, data.test.is_none()), (3, true));
    assert_eq!(data.train.inputs().to_vec::<f32>().unwrap(), [1.0, 2.0, 3.0, 4.0]);
    fs::write(folder.path().join("test.csv"), "a,label,b\n1,1,2\n").unwrap();
    assert_eq!(load(folder.path()).unwrap().test.unwrap().len(), 1);
    fs::write(folder.path().join("test.csv"), "a,label,b\n1,0.5,2\n").unwrap();
    assert!(error(folder.path()).contains("label 0.5 of sample 0"));
}

#[test]
fn calibration_needs_no_labels_and_takes_the_training_part_where_there_are_some() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let x = Tensor::arange(20).unwrap().reshape([10, 2]).unwrap();
    write_npy(at("x.npy"), &x).unwrap();
    fs::write(at("x.npz"), encode_npz(&[("x", &x)]).unwrap()).unwrap();
    fs::write(at("x.csv"), "a,b\n1,2\n3,4\n").unwrap();
    let four = load_calibration(at("x.npy"), 4, 1).unwrap();
    assert_eq!(four.shape().dims(), [4, 2]);
    let same = load_calibration(at("x.npz"), 4, 1).unwrap();
    assert_eq!(four.to_vec::<f32>().unwrap(), same.to_vec::<f32>().unwrap());
    assert_eq!(load_calibration(at("x.csv"), 4, 1).unwrap().shape().dims(), [2, 2]);
    assert!(load_calibration(at("x.npy"), 0, 1).is_err());
    assert!(load(at("x.npy")).unwrap_err().to_string().contains("no labels"));

    let images = at("mnist");
    fs::create_dir(&images).unwrap();
    mnist(&images);
    let drawn = load_calibration(&images, 2, 0).unwrap();
    assert_eq!(drawn.to_vec::<f32>().unwrap(), [1.0; 8]);
}

#[test]
fn a_failed_write_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let x = Tensor::arange(3).unwrap();
    let text = write_npy(folder.path().join("no/x.npy"), &x).unwrap_err().to_string();
    assert!(text.contains("x.npy"), "{text}");
    let name = "x".repeat(70_000);
    let path = folder.path().join("x.npz");
    write_npz(&path, &[("x", &x)]).unwrap();
    assert!(write_npz(&path, &[(&name, &x)]).is_err(), "a name of 70,000 bytes fits no ZIP file");
    assert_eq!(load_calibration(&path, 3, 0).unwrap().to_vec::<f32>().unwrap(), [0.0, 1.0, 2.0]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn what_is_no_data_set_is_said_to_be_none() {
    let folder = tempfile::tempdir().unwrap();
    assert!(error(&folder.path().join("nowhere")).contains("nowhere"));
    assert!(error(folder.path()).contains("expected MNIST's four IDX files"));
    fs::write(folder.path().join("a.txt"), "hello").unwrap();
    assert!(error(&folder.path().join("a.txt")).contains("is not a data set"));
    for name in ["a.npz", "b.npz"] {
        fs::write(folder.path().join(name), "").unwrap();
    }
    assert!(error(folder.path()).contains("2 .npz files"));
    assert!(error(&folder.path().join("a.npz")).contains("ends with a directory"));
}

#[test]
fn text_labels_are_numbered_alike_in_both_parts_and_as_the_model_knows_them() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("train.csv"), "a,kind\n1,c\n2,a\n").unwrap();
    fs::write(folder.path().join("test.csv"), "a,kind\n1,b\n2,c\n").unwrap();
    let data = load(folder.path()).unwrap();
    let labels = |data: &Labeled| {
        let of = |part: &tinytorch::data::Examples| part.labels().to_vec::<i64>().unwrap();
        (of(&data.train), of(data.test.as_ref().unwrap()))
    };
    assert_eq!(data.class_names.as_deref().unwrap(), ["a", "b", "c"]);
    assert_eq!(labels(&data), (vec![2, 0], vec![1, 2]));
    let known: Vec<String> = ["d", "c", "b", "a"].map(String::from).into();
    let renumbered = data.clone().numbered_as(&known).unwrap();
    assert_eq!((labels(&renumbered), renumbered.classes), ((vec![1, 3], vec![2, 1]), 4));
    let line = data.numbered_as(&known[..2]).unwrap_err().to_string();
    assert!(line.contains("\"a\" is none of the model's classes d, c"), "{line}");
}

#[test]
fn a_table_without_labels_is_known_by_its_width() {
    use tinytorch::data::{Labels, Unlabeled};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.csv");
    let take = |text: &str, labels: &str, width: Option<usize>| {
        fs::write(&path, text).unwrap();
        let labels = if labels.is_empty() { Labels::Known } else { labels.parse().unwrap() };
        let taken = Unlabeled { count: 9, seed: 0, labels, width }.load(&path);
        taken.map(|t| t.shape().dims().to_vec()).map_err(|error| error.to_string())
    };
    let ambiguous = "1,5,3\n4,5,6\n";
    assert_eq!(take(ambiguous, "", Some(3)), Ok(vec![2, 3]));
    assert_eq!(take(ambiguous, "none", None), Ok(vec![2, 3]));
    assert_eq!(take(ambiguous, "first", Some(2)), Ok(vec![2, 2]));
    assert!(take(ambiguous, "", Some(2)).unwrap_err().contains("--labels"));
    assert_eq!(take(".1,.2,3\n.4,.5,6\n", "", Some(2)), Ok(vec![2, 2]));
}

#[test]
fn booleans_are_0_and_1_and_bytes_must_be_bright() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.npy");
    let write = |t: Tensor| write_npy(&path, &t).unwrap();
    write(Tensor::from_vec(vec![true, false, true], [1, 3]).unwrap());
    assert_eq!(load_calibration(&path, 1, 0).unwrap().to_vec::<f32>().unwrap(), [1.0, 0.0, 1.0]);
    write(Tensor::from_vec(vec![0u8, 16, 3], [1, 3]).unwrap());
    let line = load_calibration(&path, 1, 0).unwrap_err().to_string();
    assert!(line.contains("its bytes never exceed 16"), "{line}");
    write(Tensor::from_vec(vec![0u8, 51, 255], [1, 3]).unwrap());
    assert_eq!(load_calibration(&path, 1, 0).unwrap().to_vec::<f32>().unwrap(), [0.0, 0.2, 1.0]);
}

#[test]
fn jpeg_files_have_the_pixels_that_another_program_reads() {
    let pixels: serde_json::Value =
        serde_json::from_str(include_str!("../data/pictures/pixels.json")).unwrap();
    let files: [(&str, &[u8], usize); 4] = [
        ("full", include_bytes!("../data/pictures/full.jpg"), 3),
        ("halved", include_bytes!("../data/pictures/halved.jpg"), 3),
        ("progressive", include_bytes!("../data/pictures/progressive.jpg"), 3),
        ("gray", include_bytes!("../data/pictures/gray.jpg"), 1),
    ];
    for (name, bytes, channels) in files {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("class")).unwrap();
        fs::write(folder.path().join("class/x.jpg"), bytes).unwrap();
        let data = load(folder.path()).unwrap();
        assert_eq!(data.train.inputs().shape().dims(), [1, channels, 13, 19], "{name}");
        let got = data.train.inputs().to_vec::<f32>().unwrap();
        let want: Vec<u8> = serde_json::from_value(pixels[name].clone()).unwrap();
        // Row by row there, channel by channel here.
        let apart = (0..want.len()).map(|i| {
            let here = (i % channels) * 13 * 19 + i / channels;
            (got[here] * 255.0 - f32::from(want[i])).abs()
        });
        let (sum, most) = apart.fold((0.0, 0f32), |(sum, most), d| (sum + d, most.max(d)));
        // The standard leaves the rounding of the inverse transform and of colors open.
        assert!(most <= 4.0 && sum / want.len() as f32 <= 1.0, "{name}: {most} {sum}");
    }
}
