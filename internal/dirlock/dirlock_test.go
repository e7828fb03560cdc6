package dirlock_test

import (
	"path/filepath"
	"strings"
	"testing"

	"lonja/internal/dirlock"
)

func TestAFolderHasOneUserAtATime(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	release, err := dirlock.Take(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dirlock.Take(dir); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("taken twice: %v", err)
	}
	release()
	release, err = dirlock.Take(dir)
	if err != nil {
		t.Fatal(err)
	}
	release()
}
