//! Files that are missing, unreadable or of no known format, and profiles.

use std::fs;

use stream_conf::Configuration;

#[test]
fn files_that_cannot_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("folder.yml")).unwrap();
    fs::write(path("binary.yml"), b"a: 1\nb: \xff\n").unwrap();
    fs::write(path("large.yml"), "#".repeat((4 << 20) + 1)).unwrap();
    fs::write(path("a.conf"), "a = 1").unwrap();
    for (name, reason) in [
        ("missing.yml", "there is no such file"),
        ("folder.yml", "it is a directory"),
        ("binary.yml", "line 2 is not UTF-8 text"),
        ("large.yml", "it is larger than 4 MiB"),
        ("a.conf", "by its extension"),
    ] {
        let error = Configuration::builder().file(path(name)).build().unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
        assert!(error.to_string().contains(name), "{error}");
    }
    assert!(Configuration::builder().optional_file(path("missing.yml")).build().is_ok());
    assert!(Configuration::builder().optional_file(path("binary.yml")).build().is_err());
}

#[test]
fn profiles() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str| fs::write(folder.path().join(name), format!("from: {name}\n")).unwrap();
    let (base, other) = (folder.path().join("application.yml"), folder.path().join("conf.yaml"));
    for name in [
        "application.yml",
        "conf.yaml",
        "application-dev.yml",
        "conf.prod.yaml",
        "application-two.yml",
        "application.two.yml",
    ] {
        write(name);
    }
    let from = |profile: &str| {
        let built = Configuration::builder().file(&base).file(&other).profile(profile).build();
        built.map(|configuration| configuration.get("from").unwrap().text().to_owned())
    };
    assert_eq!(from("dev").unwrap(), "application-dev.yml");
    assert_eq!(from("prod").unwrap(), "conf.prod.yaml");
    let missing = from("test").unwrap_err().to_string();
    for name in ["application-test.yml", "application.test.yml", "conf-test.yaml", "conf.test.yaml"] {
        assert!(missing.contains(name), "{missing}");
    }
    assert!(from("two").unwrap_err().to_string().contains("has two files"));
    assert!(from("../x").unwrap_err().to_string().contains("cannot be the name of a profile"));
    let nothing = Configuration::builder().profile("dev").build().unwrap_err().to_string();
    assert!(nothing.contains("no file to look beside"), "{nothing}");
    let argument =
        Configuration::builder().file(&base).profile("two").args(["--profile=dev".to_owned()]).build().unwrap();
    assert_eq!(argument.get("from").unwrap().text(), "application-dev.yml");
}

#[test]
fn problems_of_all_sources_come_together() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.yml");
    fs::write(&path, "a: ${env:X}\na: 2\nb: [[1]]\nc: {? [x] : y}\n").unwrap();
    let error = Configuration::builder()
        .file(&path)
        .file(folder.path().join("b.yml"))
        .args(["--what".to_owned()])
        .build()
        .unwrap_err();
    assert_eq!(error.problems().len(), 6, "{error}");
}
