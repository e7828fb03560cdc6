package tutorial

import (
	"strings"
	"testing"
)

const small = "# A page\n\n```console\n$ go test ./before\n```\n\n## 1. One\n\n```go file=a.go\npackage a\n\nvar x = 1\n\nvar y = 2\n```\n\n" +
	"```console\n$ go test ./...\nok\n$ nats stream ls\n```\n\n## 2. Two\n\n```diff file=a.go\n package a\n\n-var x = 1\n+var x = 3\n…\n var y = 2\n+var z = 4\n```\n"

func TestParse_WritesAndChangesFiles(t *testing.T) {
	steps, err := parse(small)
	if err != nil || len(steps) != 2 {
		t.Fatalf("%d steps, %v", len(steps), err)
	}
	files := map[string]string{}
	for _, s := range steps {
		for _, b := range s.blocks {
			if err := b.apply(files); err != nil {
				t.Fatal(err)
			}
		}
	}
	if want := "package a\n\nvar x = 3\n\nvar y = 2\nvar z = 4\n"; files["a.go"] != want {
		t.Errorf("got\n%s", files["a.go"])
	}
	if len(steps[0].tests) != 1 || steps[0].tests[0] != "go test ./..." {
		t.Errorf("tests %q", steps[0].tests)
	}
}

func TestParse_ASlipIsNoticed(t *testing.T) {
	for name, replace := range map[string][2]string{
		"a block of another kind":  {"```go file=a.go", "```go"},
		"a block without end":      {"var z = 4\n```\n", "var z = 4\n"},
		"a file that is not there": {"diff file=a.go", "diff file=b.go"},
		"a file written twice":     {"diff file=a.go", "go file=a.go"},
		"lines that are not there": {"-var x = 1", "-var x = 2"},
		"lines that are cut":       {" package a\n", " age a\n"},
		"lines that are twice":     {"+var x = 3\n…\n var y = 2\n", "+var y = 2\n…\n var y = 2\n"},
		"a change of nothing":      {"+var z = 4\n", ""},
		"a line of no kind":        {"+var z = 4\n", "var z = 4\n"},
	} {
		t.Run(name, func(t *testing.T) {
			changed := strings.Replace(small, replace[0], replace[1], 1)
			if changed == small {
				t.Fatal("the test changes nothing")
			}
			steps, err := parse(changed)
			files := map[string]string{}
			for _, s := range steps {
				for _, b := range s.blocks {
					if err == nil {
						err = b.apply(files)
					}
				}
			}
			if err == nil {
				t.Errorf("nothing is noticed: %q", files)
			}
		})
	}
}
