package operations

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/events/query"
	"lonja/kit/keyring"
	"lonja/test/harness"
)

// publishedKeys returns the ids of the keys that the shop publishes.
func publishedKeys(s *harness.Shop) (ids []string) {
	var set query.Keyset
	s.Boss().Wants(200, "GET", "/.well-known/jwks.json", nil, &set)
	for _, k := range set.Keys {
		ids = append(ids, k.KeyID)
	}
	return ids
}

// Two operators rotate the signing key at once, and the shop is killed before the new key
// signs. There is one new key, it is still there, and nobody notices.
func TestKeys_RotateTheSigningKey(t *testing.T) {
	data := t.TempDir()
	p, s := harness.Up(t, "--data", data)
	ana := s.As("ana")
	first := publishedKeys(s)
	if out := harness.Run(t, "keys", "list", "--nats", p.Said["nats"]); len(first) != 1 || !regexp.MustCompile(`(?m)^`+first[0]+` +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d +signs$`).MatchString(out) {
		t.Fatalf("published %v, listed\n%s", first, out)
	}

	var said [2]string
	var both sync.WaitGroup
	for n := range said {
		both.Go(func() {
			out, err := harness.Command(t, "keys", "rotate", "signing", "--nats", p.Said["nats"]).CombinedOutput()
			if said[n] = string(out); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	both.Wait()
	p.Kill()
	rotated := regexp.MustCompile(`^key ([0-9a-f]{16}) signs access tokens from .* on, in [78]m\d*s?\n$`)
	got := rotated.FindStringSubmatch(said[0])
	if got == nil || !strings.HasPrefix(said[1], "key "+got[1]+" ") || got[1] == first[0] {
		t.Fatalf("said\n%s%s", said[0], said[1])
	}

	p, s = harness.Up(t, "--data", data)
	if ids := publishedKeys(s); len(ids) != 2 || ids[0] != first[0] || ids[1] != got[1] {
		t.Errorf("published %v, want %s and then %s", ids, first[0], got[1])
	}
	ana = ana.At(s.URL)
	ana.Wants(200, "GET", "/api/auth/verify", nil, nil)
	ana.Refreshes()
	out := harness.Run(t, "keys", "list", "--nats", p.Said["nats"])
	if !regexp.MustCompile(`(?m)^`+first[0]+` .* signs$`).MatchString(out) || !regexp.MustCompile(`(?m)^`+got[1]+` .* pending$`).MatchString(out) {
		t.Errorf("listed\n%s", out)
	}
	if out := harness.Run(t, "keys", "seal", "--nats", p.Said["nats"]); !strings.Contains(out, "0 accounts are sealed now") || !strings.Contains(out, "sealed already") {
		t.Errorf("nothing is in plain text:\n%s", out)
	}
	harness.Run(t, "audit", "--data", data, "--nats", p.Said["nats"])
	p.Stop()
	nats := harness.StartNATS(t)
	harness.Run(t, "streams", "apply", "--nats", nats)
	if out, err := harness.Command(t, "keys", "rotate", "signing", "--nats", nats).CombinedOutput(); err == nil || !strings.Contains(string(out), "start the shop") {
		t.Errorf("nobody is there: %v\n%s", err, out)
	}
}

// The key-encryption key is replaced while people log in. No key is lost on the way, and the
// old key-encryption key can be thrown away.
func TestKeys_RotateTheKeyEncryptionKey(t *testing.T) {
	data := t.TempDir()
	file := filepath.Join(data, "kek")
	p, s := harness.Up(t, "--data", data)
	ana := s.As("ana")
	keys := func(args ...string) string {
		t.Helper()
		return harness.Run(t, append(append([]string{"keys"}, args...), "--kek-file", file, "--nats", p.Said["nats"])...)
	}
	before, err := keyring.KEKIDs(file)
	if err != nil || len(before) != 1 {
		t.Fatalf("%v, %v", before, err)
	}
	old := before[0]
	if out := keys("list"); !regexp.MustCompile(`(?m)^` + old + ` +\d+ +wraps new keys$`).MatchString(out) {
		t.Errorf("listed\n%s", out)
	}
	if out := keys("forget-kek"); !strings.Contains(out, "has one key, "+old) {
		t.Errorf("said\n%s", out)
	}

	added, err := keyring.AddKEK(file) // as an operator would, with an editor
	if err != nil {
		t.Fatal(err)
	}
	if out, err := harness.Command(t, "keys", "forget-kek", "--kek-file", file, "--nats", p.Said["nats"]).CombinedOutput(); err == nil || !strings.Contains(string(out), old+" wraps ") || !strings.Contains(string(out), "lonja keys rotate kek") {
		t.Errorf("%v\n%s", err, out)
	}
	s.As("bob")
	if out := keys("rotate", "kek"); !strings.Contains(out, "are wrapped by key-encryption key "+added) || !strings.Contains(out, old+" can be removed") {
		t.Errorf("said\n%s", out)
	}
	out := keys("rotate", "kek", "--new")
	ids, err := keyring.KEKIDs(file)
	if err != nil || len(ids) != 3 || !strings.Contains(out, "key-encryption key "+ids[0]+" is new") || !strings.Contains(out, added+", "+old+" can be removed") {
		t.Fatalf("%v, %v\n%s", ids, err, out)
	}
	if out := keys("list"); !regexp.MustCompile(`(?m)^` + old + ` +0 +not needed`).MatchString(out) {
		t.Errorf("listed\n%s", out)
	}
	if out := keys("forget-kek"); !strings.Contains(out, "no longer has "+added+", "+old) {
		t.Errorf("said\n%s", out)
	}
	if stat, err := os.Stat(file); err != nil || stat.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", stat, err)
	}
	if again, err := keyring.KEKIDs(file); err != nil || !slices.Equal(again, ids[:1]) {
		t.Errorf("the file has %v, %v", again, err)
	}

	ana.Refreshes()
	s.LogIn("bob@example.com", "password of bob")
	p.Kill()
	p, s = harness.Up(t, "--data", data)
	s.LogIn("ana@example.com", "password of ana")
	s.As("carl")
	if out := harness.Run(t, "keys", "list", "--nats", p.Said["nats"]); !strings.Contains(out, ids[0]) || !strings.Contains(out, "give --kek-file") {
		t.Errorf("listed without the file\n%s", out)
	}
}

// KEYS has lost the key of an account, and no backup has it: the view waits for it, until the
// operator gives the account up. Others lose nothing.
func TestKeys_AKeyThatIsLostIsGivenUp(t *testing.T) {
	data := t.TempDir()
	p, s := harness.Up(t, "--data", data)
	s.As("ana")
	var bob query.UserView
	s.As("bob").Wants(200, "GET", "/api/users/me", nil, &bob)
	nc, err := nats.Connect(p.Said["nats"])
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), keyring.Stream)
	if err != nil {
		t.Fatal(err)
	}
	key, err := stream.GetLastMsgForSubject(t.Context(), keyring.Subject(string(bob.ID)))
	if err == nil {
		err = stream.DeleteMsg(t.Context(), key.Sequence)
	}
	if err != nil {
		t.Fatal(err)
	}
	p.Stop()
	if err := os.RemoveAll(filepath.Join(data, "identity")); err != nil { // the view is built again
		t.Fatal(err)
	}
	nats, addr, said := harness.FreeAddr(t), harness.FreeAddr(t), filepath.Join(t.TempDir(), "log")
	log, err := os.Create(said)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	up := harness.Command(t, "up", "--data", data, "--http", addr, "--nats", nats) // it is not ready before the view is
	up.Stderr = log
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = errors.Join(up.Process.Kill(), up.Wait()) }()
	destroy := func(args ...string) (string, error) {
		out, err := harness.Command(t, append([]string{"keys", "destroy", "--nats", "nats://" + nats}, args...)...).CombinedOutput()
		return string(out), err
	}
	harness.Eventually(t, func() error {
		content, err := os.ReadFile(said)
		if want := "lonja keys destroy " + string(bob.ID); err != nil || !strings.Contains(string(content), want) {
			return fmt.Errorf("the log does not say %q: %v", want, err)
		}
		return nil
	})
	for want, args := range map[string][]string{
		"confirm it with --yes":      {string(bob.ID)},
		"no event is sealed for":     {"usr_nobody", "--yes"},
		"the secret of the shop":     {"realm", "--yes", "--force"},
		"--force is for the keys of": {"key_0123456789abcdef", "--yes", "--force"},
	} {
		if out, err := destroy(args...); err == nil || !strings.Contains(out, want) {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
	if out, err := destroy(string(bob.ID), "--yes"); err != nil || !strings.Contains(out, "is destroyed") {
		t.Fatalf("%v\n%s", err, out)
	}
	s = harness.At(t, "http://"+addr)
	s.AwaitReady()
	ana := s.LogIn("ana@example.com", "password of ana")
	ana.Wants(200, "GET", "/api/users/me", nil, nil)
	s.As("carl")
	if status := s.Boss().Status("GET", "/api/users/"+string(bob.ID), nil); status != 404 {
		t.Errorf("who is given up is answered with %d", status)
	}
	var me query.UserView
	ana.Wants(200, "GET", "/api/users/me", nil, &me)
	if out, err := destroy(string(me.ID), "--yes"); err == nil || !strings.Contains(out, "not lost") {
		t.Errorf("a key that is there: %v\n%s", err, out)
	}
	ana.Refreshes()
	harness.Run(t, "audit", "--data", data, "--nats", "nats://"+nats)
}

// A file that cannot be replaced, as one that is mounted: the error says what to do, and nothing
// was changed.
func TestKeys_AFileThatCannotBeChanged(t *testing.T) {
	data := t.TempDir()
	p, _ := harness.Up(t, "--data", data)
	content, err := os.ReadFile(filepath.Join(data, "kek"))
	if err != nil {
		t.Fatal(err)
	}
	open, err := os.Create(filepath.Join(t.TempDir(), "kek"))
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	_, err = open.Write(content)
	if err := errors.Join(err, os.Remove(open.Name())); err != nil {
		t.Fatal(err)
	}
	file := fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), open.Fd()) // it can be read, and is in no folder
	if _, err := os.Stat(file); err != nil {
		t.Skip("this system has no /proc")
	}
	keys := func(args ...string) (string, error) {
		out, err := harness.Command(t, append(append([]string{"keys"}, args...), "--kek-file", file, "--nats", p.Said["nats"])...).CombinedOutput()
		return string(out), err
	}
	before, err := keys("list")
	if err != nil {
		t.Fatalf("%v\n%s", err, before)
	}
	if out, err := keys("rotate", "kek", "--new"); err == nil || !strings.Contains(out, "--new: "+file+" cannot be changed here") || !strings.Contains(out, "without --new") {
		t.Errorf("%v\n%s", err, out)
	}
	if after, err := keys("list"); err != nil || after != before {
		t.Errorf("%v, before\n%s\nafter\n%s", err, before, after)
	}
	if out, err := keys("rotate", "kek"); err != nil {
		t.Errorf("without --new it only has to be read: %v\n%s", err, out)
	}
}
