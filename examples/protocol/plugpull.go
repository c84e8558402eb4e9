// What a writer and a checker in Go say to plugpull. Copy this file and give it your package's name;
// docs/black-box.md has the protocol.

package main

import (
	"fmt"
	"os"
	"strconv"
)

// Generation says which run on this directory this is: a part of each id, as an id is used once.
func Generation() string {
	if given := os.Getenv("PLUGPULL_GENERATION"); given != "" {
		return given
	}
	return "0"
}

var words = wordsFile()

func wordsFile() *os.File {
	descriptor, err := strconv.Atoi(os.Getenv("PLUGPULL_FD"))
	if err != nil {
		return os.Stdout
	}
	return os.NewFile(uintptr(descriptor), "PLUGPULL_FD")
}

// say writes each line with one write: an os.File has no buffer.
func say(word, id string, more []string) {
	line := word + " " + id
	if len(more) > 0 {
		line += " " + more[0]
	}
	if _, err := words.WriteString(line + "\n"); err != nil {
		fmt.Fprintln(os.Stderr, "plugpull: cannot say a word:", err)
		os.Exit(1)
	}
}

// Attempt is said before an append begins. `hash`, of its bytes, may be left out.
func Attempt(id string, hash ...string) { say("attempt", id, hash) }

// Ack is said after the store has said that the entry is durable. `position`, from 0 in the checker's list,
// may be left out.
func Ack(id string, position ...string) { say("ack", id, position) }

// Survived is said by a checker, for each entry in order.
func Survived(id string, hash ...string) { say("survived", id, hash) }
