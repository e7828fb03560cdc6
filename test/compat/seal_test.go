package compat

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/test/harness"
)

// An operator seals what the old log has in plain text, twice at once. Each account is recorded
// again once, a signing key is added, and nobody notices. Before that, the old signing key was
// not replaced, however old it is. A log that has nothing in plain text stays as it is.
func TestOldLog_IsSealed(t *testing.T) {
	forEachArchive(t, func(t *testing.T, data string, record Record) {
		if !record.plain() {
			nothingIsSealed(t, data)
			return
		}
		p, s := harness.Up(t, "--data", data, "--public-url", PublicURL, "--signing-key-age", "1h")
		s.AwaitReady()
		keys := func(args ...string) string {
			t.Helper()
			return harness.Run(t, append(append([]string{"keys"}, args...), "--nats", p.Said["nats"])...)
		}
		plain := regexp.MustCompile(`(?m)^[0-9a-f]+ .* signs, recorded in plain text by an earlier version$`)
		added := regexp.MustCompile(`(?m)^([0-9a-f]+) .* pending$`)
		if out := keys("list"); !plain.MatchString(out) || added.MatchString(out) {
			t.Fatalf("listed\n%s", out)
		}

		var said [2]string
		var both sync.WaitGroup
		for n := range said {
			both.Go(func() {
				out, err := harness.Command(t, "keys", "seal", "--nats", p.Said["nats"]).CombinedOutput()
				if said[n] = string(out); err != nil {
					t.Errorf("%v\n%s", err, out)
				}
			})
		}
		both.Wait()
		if got := regexp.MustCompile(`(?m)^[1-9]\d* accounts are sealed now; none is left$`); !got.MatchString(said[0]+said[1]) || !strings.Contains(said[0]+said[1], "lonja rewrite-log") {
			t.Errorf("said\n%s\n%s", said[0], said[1])
		}
		if out := keys("list"); !plain.MatchString(out) || len(added.FindAllString(out, -1)) != 1 {
			t.Errorf("listed\n%s", out)
		}
		if out := keys("seal"); !strings.Contains(out, "0 accounts are sealed now") || !strings.Contains(out, "sealed already") || strings.Contains(out, "rewrite-log") {
			t.Errorf("said the second time\n%s", out)
		}
		o := &opened{s, record, map[string]*harness.Person{}}
		o.sessions()
		p.Stop()

		deleteViews(t, data)
		accounts, sealed, signing := countSealed(t, data)
		if accounts < len(record.Accounts) || sealed != accounts || signing != 2 {
			t.Errorf("%d accounts, of which %d can log in; %d sealings, %d signing keys", accounts, len(record.Accounts), sealed, signing)
		}
		p, s = up(t, data)
		for _, a := range record.Accounts {
			s.LogIn(a.Email, a.Password)
		}
		p.Stop()
	})
}

// nothingIsSealed wants that an operator who seals a log without plain text is told so, and
// that nothing is recorded.
func nothingIsSealed(t *testing.T, data string) {
	before, _, keys := countSealed(t, data)
	p, s := up(t, data)
	s.AwaitReady()
	if out := harness.Run(t, "keys", "seal", "--nats", p.Said["nats"]); !strings.Contains(out, "0 accounts are sealed now; none is left") || strings.Contains(out, "rewrite-log") {
		t.Errorf("said\n%s", out)
	}
	p.Stop()
	if accounts, sealed, signing := countSealed(t, data); accounts != before || sealed != 0 || signing != keys {
		t.Errorf("%d accounts and %d signing keys became %d and %d, with %d sealings", before, keys, accounts, signing, sealed)
	}
}

// countSealed counts the accounts, their sealings and the signing keys that a log records.
func countSealed(t *testing.T, data string) (accounts, sealed, signing int) {
	onLog(t, data, func(ctx context.Context, js jetstream.JetStream) error {
		stream, err := js.Stream(ctx, "IDENTITY")
		if err != nil {
			return err
		}
		info, err := stream.Info(ctx, jetstream.WithSubjectFilter("events.>"))
		if err != nil {
			return err
		}
		for subject, n := range info.State.Subjects {
			switch event := subject[strings.LastIndexByte(subject, '.')+1:]; {
			case event == "registered":
				accounts++
			case event == "sealed":
				sealed++
				if n != 1 {
					return fmt.Errorf("%s is recorded %d times", subject, n)
				}
			case event == "key_added":
				signing = int(n)
			}
		}
		return nil
	})
	return accounts, sealed, signing
}
