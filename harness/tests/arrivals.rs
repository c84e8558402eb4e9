//! Power loss for a program that prepares its store elsewhere and moves it into its directory: what it has
//! synced there is durable here, and what it has not is not.

use std::io::Write;

use plugpull::sim::Profile;
use plugpull::{BlackBox, CrashKind, Torture};

/// Makes a log next to the directory, moves it in by a rename, and appends to it. `$2`: what it syncs of
/// the new log; `$3`: how it is moved.
const WRITER: &str = r#"
    set -e
    new="$1.new"
    if [ ! -e "$1/store" ]; then
        rm -rf "$new"
        mkdir "$new"
        echo first > "$new/log"
        case $2 in
            file) sync "$new/log" ;;
            all) sync --file-system "$new" ;;
            again) sync "$new/log"; echo second >> "$new/log" ;;
        esac
        mv "$new" "$1/store"
        sync "$1"
    fi
    echo "attempt $PLUGPULL_GENERATION"
    echo "$PLUGPULL_GENERATION" >> "$1/store/log"
    sync "$1/store/log"
    echo "ack $PLUGPULL_GENERATION"
"#;

/// A log that is there has its first line; with `again`, its second one too.
const CHECKER: &str = r#"
    [ -e "$1/store" ] || exit 0
    {
        read -r line && [ "$line" = first ] || { echo "the log has no beginning" >&2; exit 1; }
        if [ "$2" = again ]; then
            read -r line && [ "$line" = second ] || { echo "the log has no second line" >&2; exit 1; }
        fi
        while read -r line; do echo "survived $line"; done
    } < "$1/store/log"
"#;

/// A file that replaces another one, whole, from elsewhere. Without `$2` it is not synced before.
const REPLACING_WRITER: &str = r#"
    set -e
    new="$1.new"
    [ -e "$1/log" ] || { echo first > "$1/log"; sync "$1/log" "$1"; }
    i=0
    while [ $i -lt 3 ]; do
        id="$PLUGPULL_GENERATION-$i"
        echo "attempt $id"
        { cat "$1/log"; echo "$id"; } > "$new"
        [ "$2" = none ] || sync "$new"
        mv "$new" "$1/log"
        sync "$1"
        echo "ack $id"
        i=$((i + 1))
    done
"#;

const REPLACED_CHECKER: &str = r#"
    [ -e "$1/log" ] || exit 0
    first=
    while read -r line; do
        if [ -n "$first" ]; then echo "survived $line"; fi
        first=there
    done < "$1/log"
"#;

/// The violation that a torture finds, if it finds one.
fn found(writer: &str, checker: &str, how: &str, profile: Profile) -> Option<String> {
    let dir = tempfile::tempdir().expect("a directory");
    let write = |name: &str, script: &str| {
        let path = dir.path().join(name);
        let mut file = std::fs::File::create(&path).expect("created");
        file.write_all(script.as_bytes()).expect("written");
        path.display().to_string()
    };
    let (writer, checker) = (write("writer.sh", writer), write("checker.sh", checker));
    let [cmd, check] = [writer, checker].map(|script| format!("sh {script} {{dir}} {how}"));
    let store = BlackBox::new(cmd, check).expect("both have their directory");
    let torture = Torture::new(store)
        .crash([CrashKind::Power])
        .profiles([profile])
        .artifacts(dir.path().join("failures"))
        .rounds(3)
        .seed(1)
        .jobs(1);
    torture.run().err().map(|failure| failure.to_string())
}

#[test]
fn what_was_synced_elsewhere_is_durable() {
    for profile in [Profile::Strict, Profile::Ext4Ordered, Profile::Btrfs] {
        for how in ["file", "all"] {
            assert_eq!(
                found(WRITER, CHECKER, how, profile),
                None,
                "{how}, {profile}"
            );
        }
    }
}

#[test]
fn what_was_not_synced_elsewhere_may_be_lost() {
    // What was written again after its sync counts as not synced.
    for how in ["none", "again"] {
        let found = found(WRITER, CHECKER, how, Profile::Strict).unwrap_or_default();
        assert!(found.contains("the log has no"), "{how}: {found}");
    }
}

#[test]
fn a_file_from_elsewhere_replaces_another_one_as_a_whole() {
    let how = |how| found(REPLACING_WRITER, REPLACED_CHECKER, how, Profile::Strict);
    assert_eq!(how("file"), None);
    let lost = how("none").unwrap_or_default();
    assert!(lost.contains("lost"), "{lost}");
}
