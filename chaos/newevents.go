package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"lonja/client"
	"lonja/kit/bus"
	"lonja/kit/eventlog"
)

// recordNewEvents registers addresses while both versions run. Some are registered by the one
// version and some by the other, and none twice.
func (m *mixture) recordNewEvents(ctx context.Context) bool {
	m.addresses = m.raceUntil(ctx, "mixed", time.Now().Add(m.options.duration))
	for _, a := range m.addresses {
		m.checkOwner(ctx, a)
	}
	m.record("%d addresses registered, %d answers of 503", len(m.addresses), m.history.count503())
	new := slices.ContainsFunc(m.recorded(ctx), func(typ string) bool { return !slices.Contains(m.known, typ) })
	if !new && m.sealsNothing() {
		m.fail("the present version recorded no event that the version before does not know: nothing was tested")
	}
	if new && !m.sealsNothing() {
		m.fail("an event was recorded that the version before does not know, although it runs")
	}
	return len(m.failures) == 0
}

// sealsNothing reports whether the version before is one to which a sealed account is news.
func (m *mixture) sealsNothing() bool { return !slices.Contains(m.known, "lonja.user.registered.v2") }

// changePasswords changes the passwords of the accounts of the new kind, all at once. That
// leads to events which the version before gets and leaves to the present one.
func (m *mixture) changePasswords(ctx context.Context) {
	var changed []*registration
	for _, a := range m.addresses {
		if m.ofNewKind(ctx, a) {
			changed = append(changed, a.owner)
		}
	}
	m.must(inParallel(4, len(changed), func(i int) error {
		r := changed[i]
		r.by.password = "new " + r.by.password
		file := filepath.Join(m.dir, r.id+".password")
		if err := os.WriteFile(file, []byte(r.by.password), 0o600); err != nil {
			return err
		}
		return eventually(ctx, restTimeout, func() error { // until the present version gets it
			_, err := m.tool("admin", "password", "--nats", m.natsURL, "--email", r.by.email, "--password-file", file)
			return err
		})
	}))
}

// leaveAlone kills every part of the present version while it still has work. The version
// before then refuses everything about the accounts that it does not understand, and serves
// all others.
func (m *mixture) leaveAlone(ctx context.Context) bool {
	m.changePasswords(ctx)
	for _, p := range m.firstHalf() {
		p.kill()
	}
	refused := 0
	for _, a := range m.addresses {
		if !m.ofNewKind(ctx, a) {
			if status := m.statusOf(ctx, a.owner.by, "/api/auth/login", a.owner.login()); status != 200 {
				m.fail("the account %s is of the version before, and its login got %d", a.email, status)
			}
			continue
		}
		refused++
		for _, r := range a.tries {
			m.wants503(ctx, "/api/auth/login", r.login())
			m.wants503(ctx, "/api/auth/register", mustJSON(client.NewAccount{Name: "Somebody else", Email: r.by.email, Password: "yet another password"}))
		}
	}
	if m.record("%d of %d accounts refused while the version before was alone", refused, len(m.addresses)); refused == 0 && m.sealsNothing() {
		m.fail("the version before understands every account: nothing was tested")
	}
	alone := m.raceFor(ctx, "alone@example.com") // an address that nobody has claimed
	if alone.owner == nil {
		return false
	}
	m.checkOwner(ctx, alone)
	m.addresses = append(m.addresses, alone)
	if !m.awaitOrders(ctx, "with the version before alone") {
		return false
	}
	pause(ctx, 20*time.Second) // longer than a message is left to a newer program
	return len(m.failures) == 0
}

// ofNewKind reports whether the last event of an account is one that only the present version
// knows.
func (m *mixture) ofNewKind(ctx context.Context, a *address) bool {
	stream, err := m.js.Stream(ctx, "IDENTITY")
	if !m.must(err) {
		return false
	}
	last, err := stream.GetLastMsgForSubject(ctx, "events.user."+a.owner.id+".>")
	return m.must(err) && !slices.Contains(m.known, last.Header.Get(eventlog.HeaderType))
}

// wants503 sends a request that nobody can decide now.
func (m *mixture) wants503(ctx context.Context, path, body string) {
	a, err := newUser(m.shop, m.history, "", "", 1).do(ctx, "POST", path, body)
	if m.must(err) && (a.status != 503 || a.header.Get("Retry-After") == "") {
		m.fail("POST %s got %d, not 503 with Retry-After, from the version that does not understand the account: %s", path, a.status, a.body)
	}
}

// complete starts everything that is left as the present version. All that was refused works
// then, and what the version before gave up is done.
func (m *mixture) complete(ctx context.Context) bool {
	if !m.startAs(m.present, m.firstHalf()...) || !m.roll(ctx, m.present, m.secondHalf()) || !m.must(eventually(ctx, restTimeout, m.ready)) {
		return false
	}
	for _, a := range m.addresses {
		m.checkOwner(ctx, a)
	}
	m.checkAccounts(ctx, m.addresses)
	m.awaitLogins(ctx)
	m.retryDeadLetters(ctx)
	return len(m.failures) == 0
}

// awaitLogins waits until a new session is on the stream of sessions: no replica of the version
// before is left, and the present one knows.
func (m *mixture) awaitLogins(ctx context.Context) {
	m.must(eventually(ctx, restTimeout, func() error {
		if err := m.quiet.logIn(ctx); err != nil {
			return err
		}
		if !slices.Contains(m.recorded(ctx), "lonja.login.started.v1") {
			return fmt.Errorf("nobody has logged in as the present version records it")
		}
		return nil
	}))
}

// retryDeadLetters explains each dead letter: it is about an event that the version before did
// not know. Those of a reaction are retried, and do not come back.
func (m *mixture) retryDeadLetters(ctx context.Context) {
	letters, ok := m.deadLetters(ctx)
	if !ok {
		return
	}
	var retried []string
	for _, l := range letters {
		if typ := l.Headers.Get(eventlog.HeaderType); slices.Contains(m.known, typ) {
			m.fail("the message %s:%d of type %s is a dead letter: %s", l.Stream, l.Sequence, typ, l.Reason)
		}
		if l.Consumer != bus.Undecodable {
			retried = append(retried, fmt.Sprint(l.ID))
		}
	}
	if len(retried) > 0 {
		if _, err := m.tool(append([]string{"deadletters", "retry", "--nats", m.natsURL}, retried...)...); !m.must(err) {
			return
		}
	}
	m.record("%d dead letters of events that only the present version knows, %d of reactions, which were retried", len(letters), len(retried))
	m.must(eventually(ctx, restTimeout, func() error {
		left, ok := m.deadLetters(ctx)
		for _, l := range left {
			if l.Consumer != bus.Undecodable {
				return fmt.Errorf("the dead letter %d of %s is still there: %s", l.ID, l.Consumer, l.Reason)
			}
		}
		if !ok {
			return fmt.Errorf("the dead letters cannot be read")
		}
		return nil
	}))
}
