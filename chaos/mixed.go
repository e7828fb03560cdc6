package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"lonja/client"
	"lonja/kit/bus"
)

// mixture is a shop of two versions. Replicas a and the first gateway are upgraded, and
// replicas b and the second gateway stay of the previous version until the end.
type mixture struct {
	*trial
	before, present string   // programs
	known           []string // the event types that the version before knows
	quiet           *user    // whose orders nothing changes
	reads           map[string]answer
	addresses       []*address // that people raced for
}

// mixedVersions upgrades half of a shop under load, goes back, upgrades again, records
// events that the version before does not know, leaves that version alone with them, and
// completes the upgrade.
func mixedVersions(ctx context.Context, t *trial) {
	m := &mixture{trial: t, before: t.program, present: t.options.program, reads: map[string]answer{}}
	var err error
	if m.known, err = typesOf(m.before); !t.must(err) || !m.readBefore(ctx) {
		return
	}
	m.program = m.present // from here on, it is the operator's
	for _, stage := range []struct {
		name string
		do   func(context.Context) bool
	}{
		{"half of it upgraded", m.upgradeHalf},
		{"back", m.goBack},
		{"half of it upgraded again", m.upgradeHalf},
		{"with new events", m.recordNewEvents},
		{"the version before alone with them", m.leaveAlone},
		{"upgraded", m.complete},
	} {
		began := time.Now()
		if !stage.do(ctx) {
			t.fail("at the stage %q", stage.name)
			return
		}
		t.record("%s: %v", stage.name, time.Since(began).Round(100*time.Millisecond))
	}
	t.record("longest without an order %v", t.history.longestSilence().Round(10*time.Millisecond))
}

// half are the parts that are upgraded first, in the order of docs/operate.md.
func (m *mixture) half(replica, gateway string) (half []*part) {
	for _, name := range serviceNames {
		half = append(half, m.parts[name+"-"+replica])
	}
	return append(half, m.parts[gateway])
}

func (m *mixture) firstHalf() []*part  { return m.half("a", "gateway-1") }
func (m *mixture) secondHalf() []*part { return m.half("b", "gateway-2") }

// roll stops parts and starts them as another version, one after the other.
func (m *mixture) roll(ctx context.Context, program string, parts []*part) bool {
	for _, p := range parts {
		if !m.must(p.stop()) || !m.startAs(program, p) {
			return false
		}
		pause(ctx, 200*time.Millisecond)
	}
	return true
}

// startAs starts parts, which do not run, as a version.
func (m *mixture) startAs(program string, parts ...*part) bool {
	for _, p := range parts {
		p.program = program
		if !m.must(p.start()) {
			return false
		}
	}
	return true
}

func (m *mixture) upgradeHalf(ctx context.Context) bool {
	if !m.must(m.applyStreams()) || !m.roll(ctx, m.present, m.firstHalf()) {
		return false
	}
	pause(ctx, m.options.duration)
	return m.checkBefore(ctx)
}

// goBack replaces every part of the present version with the version before, on the views
// that the present version left. Then that version is on its own.
func (m *mixture) goBack(ctx context.Context) bool {
	for _, p := range m.firstHalf() {
		p.kill()
	}
	pause(ctx, m.options.duration/2) // it is alone, with one replica
	if !m.startAs(m.before, m.firstHalf()...) {
		return false
	}
	pause(ctx, m.options.duration/2)
	return m.checkBefore(ctx)
}

// checkBefore checks what must hold as long as one may go back: the log holds only what the
// version before knows, nobody made a dead letter, both versions find the log and their views
// in order, and each replica gives the same answers.
func (m *mixture) checkBefore(ctx context.Context) bool {
	if !m.must(eventually(ctx, restTimeout, m.ready)) {
		return false
	}
	for _, typ := range m.recorded(ctx) {
		if !slices.Contains(m.known, typ) {
			m.fail("%s was recorded: one cannot go back", typ)
		}
	}
	if letters, ok := m.deadLetters(ctx); !ok || len(letters) > 0 {
		m.fail("there are dead letters: %+v", letters)
	}
	for _, program := range []string{m.before, m.present} {
		m.auditBy(ctx, program)
	}
	m.readAgain(ctx)
	return len(m.failures) == 0
}

// auditBy audits the running shop with a version's own program, which compares the views of
// that version. What was under way when the replicas were stopped may take a moment. The
// streams are those of the present version, which the version before may find wrong.
func (m *mixture) auditBy(ctx context.Context, program string) {
	as := *m.shop
	as.program = program
	m.must(eventually(ctx, restTimeout, func() error {
		out, err := as.tool("audit", "--json", "--nats", m.natsURL, "--data", m.data())
		var report struct {
			Violations []struct{ Check, Entity, Problem string }
		}
		_, text, _ := strings.Cut(out, "{")
		if wrong := json.NewDecoder(strings.NewReader("{" + text)).Decode(&report); wrong != nil {
			return errors.Join(wrong, err)
		}
		for _, v := range report.Violations {
			if program != m.before || v.Check != "configuration" {
				return fmt.Errorf("%s audit: %s: %s %s", filepath.Base(program), v.Check, v.Entity, v.Problem)
			}
		}
		return nil
	}))
}

// recorded returns the types of all events in the log.
func (m *mixture) recorded(ctx context.Context) []string {
	types := map[string]int{}
	for _, stream := range []string{"CATALOG", "INVENTORY", "ORDERS", "PAYMENTS", "IDENTITY", "SESSIONS"} {
		if !m.must(countTypes(ctx, m.js, stream, types)) {
			return nil
		}
	}
	return slices.Sorted(maps.Keys(types))
}

func (m *mixture) deadLetters(ctx context.Context) ([]bus.DeadLetter, bool) {
	letters, _, err := bus.NewDeadLetterQueue(m.js).List(ctx, 1, 1_000_000)
	return letters, m.must(err)
}

// readBefore makes some orders that end, and keeps what its customer reads.
func (m *mixture) readBefore(ctx context.Context) bool {
	m.quiet = newUser(m.shop, m.history, "quiet@example.com", "a good password", 0)
	if !m.must(m.quiet.register(ctx)) {
		return false
	}
	paths := []string{"/api/orders?limit=100", "/api/auth/verify", "/api/products/" + sku(5)}
	for i := range 6 {
		id, err := m.placeQuietly(ctx, i)
		if !m.must(err) {
			return false
		}
		paths = append(paths, "/api/orders/"+id, "/api/orders/"+id+"/timeline")
	}
	for _, path := range paths {
		a, err := m.quiet.do(ctx, "GET", path, "")
		if !m.must(err) {
			return false
		}
		m.reads[path] = a
	}
	return true
}

// placeQuietly places an order that is cancelled, and waits until nothing more happens to it.
func (m *mixture) placeQuietly(ctx context.Context, n int) (id string, err error) {
	c := &command{kind: "place", by: m.quiet, path: "/api/orders", key: fmt.Sprintf("quiet-%d", n), body: orderOf(sku(5), 1)}
	m.history.add(c)
	c.began = time.Now()
	a, err := c.resend(ctx)
	c.ended = time.Now()
	if c.record(a); err != nil || c.result != ok {
		return "", fmt.Errorf("an order got %d: %s, %w", a.status, a.body, err)
	}
	paymentIs := func(status client.PaymentStatus) error {
		return eventually(ctx, restTimeout, func() error {
			o, err := m.quiet.GetOrder(ctx, c.order)
			if err == nil && (o.Payment == nil || o.Payment.Status != status) {
				err = fmt.Errorf("the payment of order %s is not %s: %+v", o.ID, status, o.Payment)
			}
			return err
		})
	}
	if err := paymentIs(client.PaymentPending); err != nil {
		return "", err
	}
	if _, err := m.quiet.CancelOrder(ctx, c.order); err != nil {
		return "", err
	}
	if err := paymentIs(client.PaymentVoided); err != nil {
		return "", err
	}
	return c.order, eventually(ctx, restTimeout, func() error {
		entries, err := m.quiet.OrderTimeline(ctx, c.order)
		if err == nil && !slices.ContainsFunc(entries, func(e client.TimelineEntry) bool { return strings.Contains(e.Type, "stock.released") }) {
			err = fmt.Errorf("the goods of order %s are not released", c.order)
		}
		return err
	})
}

// readAgain reads the same at both gateways, often enough that every replica has answered.
func (m *mixture) readAgain(ctx context.Context) {
	for path, want := range m.reads {
		for try := range 12 {
			reader := m.quiet.session(try)
			var got answer
			err := eventually(ctx, restTimeout, func() (err error) {
				if got, err = reader.do(ctx, "GET", path, ""); err == nil && (got.status == 503 || got.status == 401) {
					err = fmt.Errorf("GET %s: %d %s", path, got.status, got.body)
				}
				return err
			})
			if m.must(err) && (got.status != want.status || !bytes.Equal(anyOrigin(got.body), anyOrigin(want.body))) {
				m.fail("GET %s was %d %s, and is %d %s", path, want.status, want.body, got.status, got.body)
				return
			}
		}
	}
}

// anyOrigin removes a gateway's own address from an answer.
func anyOrigin(body []byte) []byte {
	text := string(body)
	for {
		before, rest, found := strings.Cut(text, "http://"+loopback+":")
		if !found {
			return []byte(text)
		}
		_, after, _ := strings.Cut(rest, "/")
		text = before + "/" + after
	}
}
