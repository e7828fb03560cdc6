package keyring_test

import (
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"lonja/kit/errs"
	"lonja/kit/keyring"
)

func TestCreateKEKs_MakesOneFileThatOnlyItsOwnerMayRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kek")
	var mu sync.Mutex
	var creating sync.WaitGroup
	times := 0
	for range 8 {
		creating.Go(func() {
			made, err := keyring.CreateKEKs(path)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if made {
				times++
			}
		})
	}
	creating.Wait()
	if times != 1 {
		t.Errorf("it was made %d times", times)
	}
	stat, err := os.Stat(path)
	if err != nil || stat.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", stat.Mode(), err)
	}
	if _, err := keyring.LoadKEKs(path); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".kek-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestLoadKEKs_NamesTheFileAndTheLineAndShowsNoKey(t *testing.T) {
	key := base64.StdEncoding.EncodeToString([]byte("0123456789abcdef0123456789abcdef"))
	for content, want := range map[string]string{
		"":                             "no key",
		"# nothing\n\n":                "no key",
		key + "\n" + key[:20] + "\n":   "line 2",
		"# old\n" + key + "x\n":        "line 2",
		"hunter2\n":                    "line 1",
		key + " # the present one\n":   "line 1",
		strings.Repeat("A", 44) + "\n": "line 1",
		"  \n" + key[:43] + "\n" + key: "line 2",
		key + "\nMDEyMzQ1Njc4OWFiY2Rl": "line 2",
	} {
		path := filepath.Join(t.TempDir(), "kek")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := keyring.LoadKEKs(path)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: got %v; want %s", content, err, want)
		}
		if err != nil && (strings.Contains(err.Error(), key[:10]) || strings.Contains(err.Error(), "hunter2")) {
			t.Errorf("the error shows what is in the file: %v", err)
		}
	}
	if _, err := keyring.LoadKEKs(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestRewrap_WhileAnotherProcessReadsAndMakesKeys(t *testing.T) {
	f := setUp(t)
	running := f.ring() // loaded the file before the rotation
	f.make(running, "usr_1")
	f.make(running, "usr_2")
	f.make(running, "usr_3")
	if err := running.Destroy(t.Context(), "usr_3"); err != nil {
		t.Fatal(err)
	}
	old := f.wrapped("usr_1")[0]
	id, err := keyring.AddKEK(f.file)
	if err != nil {
		t.Fatal(err)
	}
	f.make(running, "usr_4") // by the new one already
	if got := f.wrapped("usr_4")[0].KEK; got != id {
		t.Errorf("a new key is wrapped by %s, not by %s", got, id)
	}
	calls, last := 0, 0
	if err := f.ring().Rewrap(t.Context(), func(done, of int) {
		if calls++; of != 4 {
			t.Errorf("progress: %d of %d", done, of)
		}
		last = done
	}); err != nil || last != 4 || calls < 4 {
		t.Fatalf("rewrapped: %v; %d calls of progress, the last at %d", err, calls, last)
	}
	for _, owner := range []string{"usr_1", "usr_2", "usr_4"} {
		if bodies := f.wrapped(owner); len(bodies) != 1 || bodies[0].KEK != id {
			t.Errorf("%s: %+v", owner, bodies)
		}
	}
	if f.stored(old.Key) {
		t.Error("what the old key-encryption key has wrapped is still in the server's folder")
	}
	removed, err := keyring.RetireKEKs(f.file, func([]string) error { return nil })
	if err != nil || len(removed) != 1 || removed[0] != old.KEK {
		t.Errorf("retired %v, %v; want %s", removed, err, old.KEK)
	}
	for name, ring := range map[string]func() error{
		"the process that ran all the time": func() error { _, err := running.Key("usr_2"); return err },
		"a new one":                         func() error { _, err := f.ring().Key("usr_1"); return err },
	} {
		if err := ring(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Who replaces the file may be another user than who reads it, and may know it by a link.
func TestAddKEK_TheFileKeepsItsModeItsOwnerAndItsLinks(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "real", "kek"), filepath.Join(dir, "kek")
	if err := errors.Join(os.Mkdir(filepath.Dir(file), 0o700), os.Symlink(file, link)); err != nil {
		t.Fatal(err)
	}
	if _, err := keyring.CreateKEKs(file); err != nil {
		t.Fatal(err)
	}
	owner := os.Getuid()
	if owner == 0 { // only root may give files away
		owner = 1234
	}
	if err := errors.Join(os.Chmod(file, 0o640), os.Chown(file, owner, -1)); err != nil {
		t.Fatal(err)
	}
	id, err := keyring.AddKEK(link)
	if err != nil {
		t.Fatal(err)
	}
	if ids, err := keyring.KEKIDs(file); err != nil || len(ids) != 2 || ids[0] != id {
		t.Errorf("the file that the link leads to has %v, %v", ids, err)
	}
	if to, err := os.Readlink(link); err != nil || to != file {
		t.Errorf("the link leads to %q, %v", to, err)
	}
	stat, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if uid := stat.Sys().(*syscall.Stat_t).Uid; stat.Mode().Perm() != 0o640 || uid != uint32(owner) {
		t.Errorf("mode %v of user %d", stat.Mode(), uid)
	}
}

// A key that turns out to be in use, even only after its removal, stays in the file.
func TestRetireKEKs_KeepsWhatIsInUse(t *testing.T) {
	for calls := 1; calls <= 2; calls++ {
		file := filepath.Join(t.TempDir(), "kek")
		if _, err := keyring.CreateKEKs(file); err != nil {
			t.Fatal(err)
		}
		if _, err := keyring.AddKEK(file); err != nil {
			t.Fatal(err)
		}
		before, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		asked, used := 0, errors.New("it is in use")
		removed, err := keyring.RetireKEKs(file, func([]string) error {
			if asked++; asked == calls {
				return used
			}
			return nil
		})
		after, _ := os.ReadFile(file)
		if !errors.Is(err, used) || removed != nil || asked != calls || string(after) != string(before) {
			t.Errorf("in use at call %d: removed %v, %v, asked %d times; the file has changed: %v", calls, removed, err, asked, string(after) != string(before))
		}
	}
}

func TestKEKs_TheFileIsExposedToOthers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "kek")
	if _, err := keyring.CreateKEKs(file); err != nil {
		t.Fatal(err)
	}
	keks, err := keyring.LoadKEKs(file)
	if err != nil {
		t.Fatal(err)
	}
	for mode, want := range map[os.FileMode]bool{0o600: false, 0o400: false, 0o440: false, 0o640: false, 0o660: true, 0o644: true, 0o602: true} {
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		if got := keks.Exposed(); got != want {
			t.Errorf("mode %v is exposed: %v", mode, got)
		}
	}
}

// A process whose cache is empty and whose file was read before the rotation reads it again.
func TestRing_ReadsTheFileAgainForAKeyThatItDoesNotKnow(t *testing.T) {
	f := setUp(t)
	f.make(f.ring(), "usr_1")
	running := f.ring()
	if _, err := keyring.AddKEK(f.file); err != nil {
		t.Fatal(err)
	}
	if err := f.ring().Rewrap(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := running.Key("usr_1"); err != nil {
		t.Error(err)
	}
}

func TestRing_TheWrongFileIsNamed(t *testing.T) {
	f := setUp(t)
	f.make(f.ring(), "usr_1")
	if err := f.ring().Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.file = filepath.Join(t.TempDir(), "other")
	if _, err := keyring.CreateKEKs(f.file); err != nil {
		t.Fatal(err)
	}
	wrong := f.ring()
	_, err := wrong.Key("usr_1")
	for what, err := range map[string]error{"Key": err, "Check": wrong.Check(t.Context()), "Rewrap": wrong.Rewrap(t.Context(), nil)} {
		if !errs.Is(err, errs.Unavailable) || !errors.Is(err, keyring.ErrWrongKEK) || !strings.Contains(err.Error(), f.file) || !strings.Contains(err.Error(), "backup") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := wrong.Destroy(t.Context(), "usr_1"); err != nil {
		t.Errorf("a key can be destroyed without the key-encryption key: %v", err)
	}
}
