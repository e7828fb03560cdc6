package shop_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
)

var write = flag.Bool("write", false, "write the golden files that are made from the code")

// wantGolden fails the test unless a file holds what is made from the code. With -write
// it writes the file first.
func wantGolden(t *testing.T, file string, want []byte) {
	t.Helper()
	if *write {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what the code says: go test ./shop -run '^%s$' -write writes it. Others rely on the file, so it changes only by additions", file, t.Name())
	}
}
