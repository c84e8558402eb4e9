// A log of lines: naive_log write|check DIRECTORY [naive|correct]
//
// `naive` is what one writes in five minutes: it loses acknowledged lines when the power goes.

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

func need(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// wholeLines are the bytes up to what a crash has cut, or left zeros or garbage in.
func wholeLines(path string) []byte {
	found, err := os.ReadFile(path)
	if !errors.Is(err, fs.ErrNotExist) {
		need(err)
	}
	return regexp.MustCompile(`^(g[0-9]+-[0-9]+\.\n)*`).Find(found)
}

func write(directory string, isCorrect bool) {
	path := filepath.Join(directory, "log")
	log, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	need(err)
	if isCorrect {
		// A line that a crash has cut would take the next one with it.
		need(log.Truncate(int64(len(wholeLines(path)))))
		// What an earlier run has left may be in the page cache only, and so may the name of the log.
		need(log.Sync())
		names, err := os.Open(directory)
		need(err)
		need(names.Sync())
		need(names.Close())
	}
	for number := 0; ; number++ {
		id := fmt.Sprintf("g%s-%d", Generation(), number)
		Attempt(id)
		_, err := log.WriteString(id + ".\n")
		need(err)
		if isCorrect {
			need(log.Sync())
		}
		Ack(id)
	}
}

func check(directory string) {
	for _, line := range strings.Fields(string(wholeLines(filepath.Join(directory, "log")))) {
		Survived(strings.TrimSuffix(line, "."))
	}
}

func main() {
	if os.Args[1] == "write" {
		write(os.Args[2], os.Args[3] == "correct")
	} else {
		check(os.Args[2])
	}
}
