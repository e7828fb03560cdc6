package containers

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"lonja/test/harness"
)

// The image is built from the folders that .dockerignore lets in. A package of the program
// in another folder would be missing only there.
func TestDockerignore_LetsInWhatTheProgramIsMadeOf(t *testing.T) {
	var letIn []string
	for line := range strings.Lines(harness.ReadFile(t, ".dockerignore")) {
		if folder, ok := strings.CutPrefix(strings.TrimSpace(line), "!"); ok && !strings.Contains(folder, ".") {
			letIn = append(letIn, folder)
		}
	}
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", "./cmd/lonja")
	list.Dir = harness.Root(t)
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	var needed []string
	for name := range strings.Lines(string(out)) {
		if own, ok := strings.CutPrefix(strings.TrimSpace(name), "lonja/"); ok {
			folder, _, _ := strings.Cut(own, "/")
			needed = append(needed, folder)
		}
	}
	slices.Sort(letIn)
	slices.Sort(needed)
	if needed = slices.Compact(needed); !slices.Equal(letIn, needed) {
		t.Errorf(".dockerignore lets in %v; the program is made of %v", letIn, needed)
	}
}
