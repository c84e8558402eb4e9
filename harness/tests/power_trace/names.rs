//! Stores whose entries become durable by a name.

use crate::case::Program;

#[test]
fn a_file_is_replaced_by_one_that_is_synced_and_so_is_the_directory() {
    let store = r#"
    my $all = whole_lines("$dir/log");
    unlink "$dir/log.new";
    sync_dir();
    for my $number (0..2) {
        my $id = "g$generation-$number";
        print "attempt $id\n";
        $all .= "$id whole\n";
        sysopen(my $new, "$dir/log.new", O_WRONLY | O_CREAT | O_TRUNC, 0644) or die "new: $!";
        put($new, $all);
        $new->sync or die "sync: $!"; # FILE
        close $new;
        rename "$dir/log.new", "$dir/log" or die "rename: $!";
        sync_dir(); # DIR
        print "ack $id\n";
    }
"#;
    Program::new(store).passes_and_these_twins_do_not(&["# FILE", "# DIR"]);
}

/// The descriptor knows the file by the name that it had before; another descriptor is of the file that is
/// gone.
#[test]
fn a_file_is_written_on_under_its_new_name() {
    let store = r#"
    my $all = whole_lines("$dir/log");
    open(my $old, "+>>", "$dir/log") or die "log: $!";
    sysopen(my $log, "$dir/log.new", O_WRONLY | O_CREAT | O_TRUNC, 0644) or die "new: $!";
    put($log, $all);
    $log->sync or die "sync: $!";
    rename "$dir/log.new", "$dir/log" or die "rename: $!";
    sync_dir();
    for my $number (0..2) {
        my $id = "g$generation-$number";
        print "attempt $id\n";
        put($log, "$id whole\n");
        put($old, "nothing that counts");
        $old->sync or die "sync: $!";
        $log->sync or die "sync: $!"; # FILE
        print "ack $id\n";
    }
"#;
    Program::new(store).passes_and_these_twins_do_not(&["# FILE"]);
}

/// A store of one file for each entry, which gets its name when the entry is written.
pub(crate) fn files_that(make_draft: &str, give_it_the_name: &str) -> Program {
    Program {
        writer: format!(
            r#"
    my $count = 0;
    $count++ while -e "$dir/log.$count";
    for my $number (0..2) {{
        my $id = "g$generation-$number";
        print "attempt $id\n";
        {make_draft}
        put($draft, "$id whole\n");
        $draft->sync or die "sync: $!"; # FILE
        {give_it_the_name}
        sync_dir(); # DIR
        print "ack $id\n";
        $count++;
    }}
"#
        ),
        checker: r#"
    for (my $count = 0; open(my $file, "<", "$ARGV[0]/log.$count"); $count++) {
        my $line = <$file>;
        print "survived $1\n" if $line =~ /^(g\d+-\d+) whole\n/;
    }
"#,
    }
}

#[test]
fn a_hard_link_commits_what_is_synced() {
    let program = files_that(
        r#"
        unlink "$dir/draft";
        sysopen(my $draft, "$dir/draft", O_WRONLY | O_CREAT | O_EXCL, 0644) or die "draft: $!";
        "#,
        r#"link "$dir/draft", "$dir/log.$count" or die "link: $!";"#,
    );
    program.passes_and_these_twins_do_not(&["# FILE", "# DIR"]);
}
