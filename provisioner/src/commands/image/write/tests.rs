use super::*;

const TEXT: &str = r#"# head
[workload.web]   # the site
kind = "container"
# of version 1
host_data = ["00"] # rollout 7
debug = false

[workload.other]
host_data = ["11"]
"#;

fn described(mode: Mode, fragments: Vec<Fragment>) -> Described {
    Described {
        containers: Vec::new(),
        fragments,
        mode,
        sidecars: image::cce::Sidecars::OfTheService,
    }
}

#[test]
fn changes_one_value_and_keeps_every_comment() {
    let changed = edit(TEXT, "web", "ab", None).unwrap();
    assert_eq!(changed, TEXT.replace("[\"00\"] #", "[\"ab\"] #"));
    assert_eq!(
        edit(&changed, "web", "ab", None).unwrap(),
        changed,
        "a second time changes nothing"
    );
    let plain = described(Mode::Production, Vec::new());
    assert_eq!(edit(TEXT, "web", "00", Some(&plain)).unwrap(), TEXT);
}

#[test]
fn writes_what_the_group_admits_and_takes_it_back() {
    let fragment =
        Fragment::parse("did:x509:0:x", "r/f", "7", vec!["containers".to_owned()]).unwrap();
    let debug = described(Mode::InsecureDebug, vec![fragment]);
    let changed = edit(TEXT, "web", "ab", Some(&debug)).unwrap();
    let group = "\n[workload.web.group]\nfragments = [{ issuer = \"did:x509:0:x\", feed = \"r/f\", minimum_svn = 7, includes = [\"containers\"] }]\ninsecure_debug = true\n";
    assert!(changed.contains(group), "{changed}");
    assert!(changed.contains("# of version 1") && changed.contains("# rollout 7"));
    let plain = described(Mode::Production, Vec::new());
    let back = edit(&changed, "web", "ab", Some(&plain)).unwrap();
    assert!(!back.contains("insecure_debug") && !back.contains("fragments"), "{back}");
}

#[test]
fn writes_only_what_is_there_already() {
    assert!(edit(TEXT, "missing", "ab", None).is_err());
    assert!(edit("[workload.web]\n", "web", "ab", None).is_err());
}
