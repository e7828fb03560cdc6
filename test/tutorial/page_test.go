package tutorial

import (
	"errors"
	"fmt"
	"strings"
)

// step is one numbered section of the page.
type step struct {
	title  string
	blocks []block  // the files that it writes and changes
	tests  []string // "go test ./shows", as its console sessions say
}

// block is one file, or a change of one.
type block struct {
	file string
	diff bool
	text string
}

// parse reads the page. A block "```go file=main.go" is a whole file. A block
// "```diff file=main.go" is a change: each run of its lines, between lines "…", is
// looked for in the file without those that begin with "+", and replaced by it without
// those that begin with "-". Other blocks must be console sessions, so that none is
// left out by a slip.
func parse(page string) (steps []step, err error) {
	var lines []string // of the block; nil outside of one
	info := ""
	for i, line := range strings.Split(page, "\n") {
		fence, isFence := strings.CutPrefix(line, "```")
		switch {
		case isFence && lines == nil:
			info, lines = fence, []string{}
		case isFence:
			if len(steps) > 0 {
				if err := steps[len(steps)-1].add(info, lines); err != nil {
					return nil, fmt.Errorf("line %d: %w", i+1, err)
				}
			}
			lines = nil
		case lines != nil:
			lines = append(lines, line)
		case strings.HasPrefix(line, "## ") && line[3] >= '1' && line[3] <= '9':
			steps = append(steps, step{title: line[3:]})
		}
	}
	if lines != nil {
		return nil, errors.New("a block has no end")
	}
	return steps, nil
}

func (s *step) add(info string, lines []string) error {
	language, file, isFile := strings.Cut(info, " file=")
	switch {
	case isFile:
		s.blocks = append(s.blocks, block{file, language == "diff", strings.Join(lines, "\n") + "\n"})
	case info == "console":
		for _, line := range lines {
			if command, ok := strings.CutPrefix(line, "$ "); ok && strings.HasPrefix(command, "go test") {
				s.tests = append(s.tests, command)
			}
		}
	default:
		return fmt.Errorf("a block %q is neither a file nor a console session", info)
	}
	return nil
}

// apply makes the file of the block, or changes it.
func (b block) apply(files map[string]string) error {
	old, exists := files[b.file]
	switch {
	case !b.diff && exists:
		return fmt.Errorf("%s is there already", b.file)
	case !b.diff:
		files[b.file] = b.text
		return nil
	case !exists:
		return fmt.Errorf("%s is to be changed, and is not there", b.file)
	}
	for hunk := range strings.SplitSeq(b.text, "…\n") {
		before, after, err := sides(hunk)
		if err != nil {
			return fmt.Errorf("%s: %w", b.file, err)
		}
		if n := strings.Count("\n"+old, "\n"+before); n != 1 {
			return fmt.Errorf("%s has these lines %d times:\n%s", b.file, n, before)
		}
		old = strings.TrimPrefix(strings.Replace("\n"+old, "\n"+before, "\n"+after, 1), "\n")
	}
	files[b.file] = old
	return nil
}

// sides are the lines of a change as they were and as they are then.
func sides(hunk string) (before, after string, err error) {
	for line := range strings.Lines(hunk) {
		if line == "\n" { // an editor has taken the space away
			line = " \n"
		}
		switch line[0] {
		case ' ':
			before, after = before+line[1:], after+line[1:]
		case '-':
			before += line[1:]
		case '+':
			after += line[1:]
		default:
			return "", "", fmt.Errorf("the line %q of a change begins with none of space, + and -", line)
		}
	}
	if before == "" || before == after {
		return "", "", fmt.Errorf("a change has nothing to find or changes nothing:\n%s", hunk)
	}
	return before, after, nil
}
