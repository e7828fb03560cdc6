package baddisk_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"lonja/kit/kittest"
	"lonja/kit/kittest/baddisk"
)

// In a test, pass its t to Inject.
func Example() {
	kittest.RunExample(func(t testing.TB) {
		file, err := os.Create(filepath.Join(t.TempDir(), "data"))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if _, err := file.WriteString("before"); err != nil {
			t.Fatal(err)
		}
		baddisk.Inject(t, baddisk.NoSpace, file.Name())
		_, err = file.WriteString("after")
		fmt.Println("no space:", errors.Is(err, syscall.ENOSPC))

		kept, err := os.ReadFile(file.Name())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println("on the disk:", string(kept))
	})
	// Output:
	// no space: true
	// on the disk: before
}

func TestInject_NoSyncAcceptsWritesAndFailsSyncs(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "data"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	baddisk.Inject(t, baddisk.NoSync, file.Name())
	if _, err := file.WriteString("lost"); err != nil {
		t.Errorf("write: %v", err)
	}
	if err := file.Sync(); err == nil {
		t.Error("sync succeeded")
	}
	if kept, err := os.ReadFile(file.Name()); err != nil || len(kept) > 0 {
		t.Errorf("on the disk is %q, %v", kept, err)
	}
}
