package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"lonja/client"
)

// address is an e-mail address that several people try to register at once.
type address struct {
	email string
	owner *registration // the one that was accepted, nil as long as none was
	tries []*registration
}

// registration is one attempt, sent again until it is answered.
type registration struct {
	by     *user
	body   string
	key    string
	status int
	id     string // of the account, if it was accepted
}

// spellings returns spellings of one address.
func spellings(email string) []string {
	return []string{email, strings.ToUpper(email), strings.ToUpper(email[:1]) + email[1:]}
}

// raceFor has three people register one address at once, each in a spelling and with a
// password of their own, at both gateways. Exactly one of them gets it.
func (m *mixture) raceFor(ctx context.Context, email string) *address {
	a := &address{email: email}
	var racing sync.WaitGroup
	for i, spelling := range spellings(email) {
		r := &registration{by: newUser(m.shop, m.history, spelling, fmt.Sprintf("password %d of %s", i, email), i), key: fmt.Sprintf("%s-%d", email, i)}
		r.body = mustJSON(client.NewAccount{Name: "Somebody", Email: spelling, Password: r.by.password})
		a.tries = append(a.tries, r)
		racing.Go(func() { m.send(ctx, r) })
	}
	racing.Wait()
	for _, r := range a.tries {
		switch {
		case r.status == 201 && a.owner != nil:
			m.fail("%s was registered twice", email)
		case r.status == 201:
			a.owner = r
		case r.status != 409:
			m.fail("the registration of %s ended with %d", email, r.status)
		}
	}
	if a.owner == nil {
		m.fail("nobody could register %s", email)
	}
	return a
}

// send registers, again and again while the answer is that it is not possible now.
func (m *mixture) send(ctx context.Context, r *registration) {
	m.must(eventually(ctx, restTimeout, func() error {
		a, err := r.by.do(ctx, "POST", "/api/auth/register", r.body, "Idempotency-Key", r.key)
		if err != nil {
			return err
		}
		var tokens client.Tokens
		switch r.status = a.status; a.status {
		case 503, 429:
			return fmt.Errorf("the registration of %s: %s", r.by.email, a.body)
		case 201:
			err = json.Unmarshal(a.body, &tokens)
			r.id = tokens.User.ID
		}
		return err
	}))
}

// checkOwner checks that an address has the one account that was acknowledged: its owner logs
// in, somebody who was refused cannot, and it cannot be registered again. While both versions
// run, 503 may come first, and nothing else.
func (m *mixture) checkOwner(ctx context.Context, a *address) {
	for _, r := range []*registration{a.owner, a.loser()} {
		want := 401
		if r == a.owner {
			want = 200
		}
		if status := m.statusOf(ctx, r.by, "/api/auth/login", r.login()); status != want {
			m.fail("a login to %s with the password of a registration that ended with %d got %d", a.email, r.status, status)
		}
	}
	for i, spelling := range spellings(a.email) {
		body := mustJSON(client.NewAccount{Name: "Somebody else", Email: spelling, Password: "yet another password"})
		if status := m.statusOf(ctx, newUser(m.shop, m.history, spelling, "", i), "/api/auth/register", body); status != 409 {
			m.fail("%s is taken, and its registration as %s got %d", a.email, spelling, status)
		}
	}
}

// loser returns a registration that was refused.
func (a *address) loser() *registration {
	if a.tries[0] == a.owner {
		return a.tries[1]
	}
	return a.tries[0]
}

// login returns the body of a login with a registration's password.
func (r *registration) login() string {
	return mustJSON(map[string]string{"email": r.by.email, "password": r.by.password})
}

// statusOf sends a request until it is answered with something but "not now".
func (m *mixture) statusOf(ctx context.Context, by *user, path, body string) (status int) {
	m.must(eventually(ctx, restTimeout, func() error {
		a, err := by.do(ctx, "POST", path, body)
		if status = a.status; err == nil && (status == 503 || status == 429) {
			err = fmt.Errorf("POST %s: %s", path, a.body)
		}
		return err
	}))
	return status
}

// checkAccounts checks that the administrator finds each address once.
func (m *mixture) checkAccounts(ctx context.Context, all []*address) {
	if !m.must(m.load.admin.logIn(ctx)) {
		return
	}
	for _, a := range all {
		var list client.List[client.User]
		err := eventually(ctx, restTimeout, func() error {
			got, err := m.load.admin.do(ctx, "GET", "/api/users?email="+a.email, "")
			if err == nil {
				list = client.List[client.User]{}
				err = json.Unmarshal(got.body, &list)
			}
			if err == nil && len(list.Data) != 1 {
				err = fmt.Errorf("%s has %d accounts: %s", a.email, len(list.Data), got.body)
			}
			return err
		})
		if m.must(err) && list.Data[0].ID != a.owner.id {
			m.fail("%s is the account %s, and was registered as %s", a.email, list.Data[0].ID, a.owner.id)
		}
	}
}

// How many addresses people race for: enough for both versions to get some, and so few that
// their wrong passwords stay below what identity lets one client try.
const fewestAddresses, mostAddresses = 8, 20

// raceUntil lets people race for addresses until a time, and returns those that have an owner.
func (m *mixture) raceUntil(ctx context.Context, name string, end time.Time) (all []*address) {
	for n := 0; n < mostAddresses && (n < fewestAddresses || time.Now().Before(end)) && ctx.Err() == nil; n++ {
		if a := m.raceFor(ctx, fmt.Sprintf("%s%d@example.com", name, n)); a.owner != nil {
			all = append(all, a)
		}
	}
	return all
}
