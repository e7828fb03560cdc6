package rewrite

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lonja/events"
)

func TestTexts_AreFoundWhereverTheyAre(t *testing.T) {
	texts := newTexts()
	for _, text := range []string{"a@b", "ana@example.com", "ana@example.community", "", "ab"} {
		texts.add(text)
	}
	dir := t.TempDir()
	for name, content := range map[string]string{
		"whole":  "ana@example.com",
		"end":    strings.Repeat("x", 5_000_000) + "ana@example.com",
		"cut":    strings.Repeat("x", 1<<20+10) + "ana@example.com" + strings.Repeat("y", 1<<20),
		"second": strings.Repeat("x", 1<<20-2) + "a@b" + strings.Repeat("y", 3<<20),
		"short":  "xa@b",
		"none":   strings.Repeat("ana@example.co ana@Example.com a@ab ab a@", 100_000),
		"empty":  "",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	found, err := texts.inFiles(t.Context(), dir, func(path string) bool { return path != "whole" })
	if want := []string{"cut", "end", "second", "short"}; err != nil || !slices.Equal(found, want) {
		t.Errorf("found in %v (%v), want %v", found, err, want)
	}
}

func TestTexts_OfAnEvent(t *testing.T) {
	texts := newTexts()
	err := texts.addSealedOf(events.UserRegistered{UserID: "usr_ana", Name: "Ana Lee", Email: "a&b@example.com", PasswordHash: "$hash", Roles: []string{"customer"}})
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{"a&b@example.com": true, `a\u0026b@example.com`: true, "$hash": true, "Ana Lee": false, "usr_ana": false, "customer": false} {
		if got := texts.in([]byte("<" + text + ">")); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}

func TestInStream_IsAboutWholeNames(t *testing.T) {
	for path, want := range map[string]bool{
		"nats/jetstream/$G/streams/IDENTITY":            true,
		"nats/jetstream/$G/streams/IDENTITY/msgs/1.blk": true,
		"nats/jetstream/$G/streams/IDENTITY2/msgs":      false,
		"nats/jetstream/$G/streams":                     false,
		"IDENTITY/x":                                    false,
	} {
		if got := inStream(path, "ORDERS", "IDENTITY"); got != want {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
}
