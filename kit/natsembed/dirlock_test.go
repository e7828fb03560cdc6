package natsembed_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"lonja/kit/natsembed"
)

func TestLockDir_LocksAFolderOnceAtATime(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	release, err := natsembed.LockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := natsembed.LockDir(dir); !errors.Is(err, natsembed.ErrInUse) || !strings.Contains(err.Error(), dir) {
		t.Errorf("locked twice: %v", err)
	}
	release()
	release, err = natsembed.LockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	release()
}
