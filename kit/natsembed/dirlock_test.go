package natsembed_test

import (
	"path/filepath"
	"strings"
	"testing"

	"lonja/kit/natsembed"
)

func TestAFolderHasOneUserAtATime(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	release, err := natsembed.LockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := natsembed.LockDir(dir); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("taken twice: %v", err)
	}
	release()
	release, err = natsembed.LockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	release()
}
