// Package natsdoc types docs/nats.md, line by line, and compares.
package natsdoc

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"lonja/test/harness"
)

// TestNATSPage_EveryLineRunsAndShowsTheTruth types docs/nats.md from top to bottom,
// as a reader would: the real program, the real nats CLI, one shell. A line that fails,
// or whose output is not what the page shows, fails the test.
func TestNATSPage_EveryLineRunsAndShowsTheTruth(t *testing.T) {
	page, err := os.ReadFile("../../docs/nats.md")
	if err != nil {
		t.Fatal(err)
	}
	harness.DependOnSources(t)
	harness.ReadFile(t, "tools/go.mod") // and on the version of the nats CLI
	r, lines := newReader(t), 0
	for _, b := range parsePage(t, string(page)) {
		for _, c := range b.commands {
			lines++
			switch {
			case strings.HasPrefix(c.line, "lonja up "):
				r.startShop(c)
			case b.terminal2:
				r.watch(c)
			default:
				r.run(c)
			}
			if t.Failed() {
				t.FailNow() // what follows builds on it
			}
		}
	}
	r.checkWatched()
	if lines < 40 {
		t.Errorf("the page has only %d command lines", lines)
	}
}

// TestNATSPage_HasALineForEverythingItIsFor keeps the page complete: it shows each of the
// things that it is there for.
func TestNATSPage_HasALineForEverythingItIsFor(t *testing.T) {
	page, err := os.ReadFile("../../docs/nats.md")
	if err != nil {
		t.Fatal(err)
	}
	var typed []string
	for _, b := range parsePage(t, string(page)) {
		for _, c := range b.commands {
			typed = append(typed, c.line)
		}
	}
	for _, want := range []string{"nats stream report", "nats consumer report ", "nats sub 'events.order.*.paid'", "nats stream get ", "--last-for ",
		"--all", "--start-sequence ", "--since ", "nats request queries.", "nats micro ls", "nats micro info ", "nats micro stats ",
		"nats request commands.", "-H ce-id:", "-H ce-actor:", "nats pub --jetstream events.", "Nats-Expected-Last-Subject-Sequence:",
		"_watermill_message_uuid:", "nats pub --jetstream retries.", "DEADLETTERS", "--nats-auth", "nats stream purge "} {
		if !slices.ContainsFunc(typed, func(line string) bool { return strings.Contains(line, want) }) {
			t.Errorf("no line of the page has %q", want)
		}
	}
}

func TestNATSPage_AFalseOutputIsNoticed(t *testing.T) {
	const got = "19:12:17 Received with rtt 5.12ms\n19:12:17 lonja-position: CATALOG:1\n19:12:17 lonja-entity: 85123A\n\n{\"sku\":\"85123A\",\"on_hand\":100}\n"
	for shown, want := range map[string]bool{
		"11:00:00 Received with rtt 1.5ms\n11:00:00 lonja-entity: 85123A\n11:00:00 lonja-position: CATALOG:1\n{\"sku\":\"85123A\",\"on_hand\":100}": true,
		"…\n11:00:00 lonja-position: CATALOG:1\n{\"sku\":…,\"on_hand\":100}":                                                                        true,
		"…\n{\"sku\":\"85123A\",…}\n…": true,
		"…":                            true,
		"…\n11:00:00 lonja-position: CATALOG:2\n…":          false,
		"…\n11:00:00 lonja-replayed: true\n…":               false,
		"…\n{\"sku\":…,\"on_hand\":10}":                     false,
		"11:00:00 Received with rtt 1.5ms":                  false,
		"…\n{\"sku\":\"85123A\",\"on_hand\":100}\nand more": false,
		"": false,
		"…\n{\"sku\":\"85123A\",\"on_hand\":100}\n11:00:00 lonja-position: CATALOG:1":              false,
		"…\n11:00:00 lonja-entity: 85123A\n11:00:00 lonja-position: CATALOG:1\nnats: error: timed": false,
	} {
		if matches(shown, got) != want {
			t.Errorf("%q is taken for true: %v", shown, !want)
		}
	}
	for output, want := range map[string]bool{"nats: error: it failed": true, "…\nlonja: 1 violations": true, "Stored": false, "": false} {
		if mayFail(output) != want {
			t.Errorf("a line that shows %q may fail: %v", output, !want)
		}
	}
}

// typed is a command line of the page and the output that the page shows for it.
type typed struct {
	line, shown string
	at          int // its line in the page
}

type block struct {
	terminal2 bool // goes on while the lines after it are typed
	commands  []typed
}

// parsePage returns the code blocks of the page. Each must be a console session, so
// that nothing on the page is left out.
func parsePage(t *testing.T, page string) (blocks []block) {
	t.Helper()
	var b *block
	for i, line := range strings.Split(page, "\n") {
		fence, isFence := strings.CutPrefix(line, "```")
		switch {
		case isFence && b != nil:
			blocks, b = append(blocks, *b), nil
		case isFence && (fence == "console" || fence == "console terminal=2"):
			b = &block{terminal2: strings.HasSuffix(fence, "2")}
		case isFence:
			t.Fatalf("docs/nats.md:%d: the block is %q, not a console session", i+1, fence)
		case b == nil:
		case strings.HasPrefix(line, "$ "):
			b.commands = append(b.commands, typed{line: line[2:], at: i + 1})
		case len(b.commands) == 0:
			t.Fatalf("docs/nats.md:%d: the block does not begin with a command", i+1)
		default:
			c := &b.commands[len(b.commands)-1]
			if strings.HasSuffix(c.line, "\\") && c.shown == "" {
				c.line += "\n" + line
			} else {
				c.shown += line + "\n"
			}
		}
	}
	return blocks
}

// mayFail reports whether the page shows that a line fails.
func mayFail(shown string) bool {
	return strings.Contains(shown, "nats: error: ") || regexp.MustCompile(`(?m)^lonja: `).MatchString(shown)
}

// matches reports whether got is what the page shows. "…" on a line of its own stands
// for any lines, within a line for any text. Blank lines, padding, times, durations,
// sizes and the NATS services' instance ids do not count; nor does the order of headers.
func matches(shown, got string) bool { return matchLines(normal(shown), normal(got)) }

func matchLines(shown, got []string) bool {
	switch {
	case len(shown) == 0:
		return len(got) == 0
	case shown[0] == "…":
		return matchLines(shown[1:], got) || len(got) > 0 && matchLines(shown, got[1:])
	}
	return len(got) > 0 && matchLine(shown[0], got[0]) && matchLines(shown[1:], got[1:])
}

func matchLine(shown, got string) bool {
	pattern := "^" + strings.ReplaceAll(regexp.QuoteMeta(shown), "…", ".*") + "$"
	return regexp.MustCompile(pattern).MatchString(got)
}

var (
	varying = []struct {
		what *regexp.Regexp
		as   string
	}{
		{regexp.MustCompile(`\x1b\[[0-9;]*m`), ""},
		{regexp.MustCompile(`[─━]+`), "─"},
		{regexp.MustCompile(`\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?( \+0000 UTC|Z|[+-]\d\d:\d\d)?`), "<time>"},
		{regexp.MustCompile(`\b\d\d:\d\d:\d\d\b`), "<clock>"},
		{regexp.MustCompile(`\b(\d+[hm])*\d+(\.\d+)?(ns|µs|ms|s)\b`), "<took>"},
		{regexp.MustCompile(`\b\d+(\.\d+)? (B|KiB)\b`), "<size>"},
		{regexp.MustCompile(`\b[A-Za-z0-9]{22}\b`), "<instance>"},
		{regexp.MustCompile(`\s+`), " "},
	}
	header = regexp.MustCompile(`^(<clock> )?(ce-|lonja-|Nats-|_watermill)[A-Za-z-_]*: `)
)

// normal is an output in the form in which it is compared.
func normal(output string) (lines []string) {
	for line := range strings.Lines(output) {
		for _, v := range varying {
			line = v.what.ReplaceAllString(line, v.as)
		}
		if line = strings.TrimSpace(line); line != "" && line != "<clock>" {
			lines = append(lines, line)
		}
	}
	for i := 0; i < len(lines); i++ {
		end := i
		for end < len(lines) && header.MatchString(lines[end]) {
			end++
		}
		slices.Sort(lines[i:end]) // the CLI prints a map
		i = max(i, end-1)
	}
	return lines
}

// looks are the lines that show how things are and change nothing. What they show may
// come a moment after the line before, so they are typed again until it is there.
var looks = regexp.MustCompile(`^(nats (stream (report|get|subjects)|consumer (report|info)|micro|request queries\.|sub --stream)|lonja (timeline|deadletters list|audit|streams plan))\b`)
