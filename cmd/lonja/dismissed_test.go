package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"lonja/events/query"
)

// line is a way to a server that can be cut.
type line struct {
	t      *testing.T
	addr   string
	target string
	mu     sync.Mutex
	cut    bool
	open   []net.Conn
}

func newLine(t *testing.T, target string) *line {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &line{t: t, addr: l.Addr().String(), target: target}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			w.carry(conn)
		}
	}()
	t.Cleanup(func() { _ = l.Close(); w.setCut(true) })
	return w
}

func (w *line) carry(from net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	to, err := net.Dial("tcp", w.target)
	if w.cut || err != nil {
		_ = from.Close()
		if err == nil {
			_ = to.Close()
		}
		return
	}
	w.open = append(w.open, from, to)
	for _, pair := range [][2]net.Conn{{from, to}, {to, from}} {
		go func() { _, _ = io.Copy(pair[0], pair[1]); _ = pair[0].Close(); _ = pair[1].Close() }()
	}
}

// setCut cuts the line, or mends it.
func (w *line) setCut(cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = cut
	for _, conn := range w.open {
		_ = conn.Close()
	}
	w.open = nil
}

// at is the same person at another gateway.
func (p *person) at(gateway string) *person {
	return &person{shop: &shop{p.t, gateway}, name: p.name, token: p.token, refresh: p.refresh}
}

func (p *person) status(method, path string, body any) int {
	p.t.Helper()
	a, err := p.do(method, path, body)
	if err != nil {
		p.t.Fatalf("%s: %s %s: %v", p.name, method, path, err)
	}
	return a.status
}

// refreshes exchanges the refresh token and goes on with what came of it.
func (p *person) refreshes() query.Tokens {
	p.t.Helper()
	var tokens query.Tokens
	p.wants(200, "POST", "/api/auth/refresh", map[string]string{"refresh_token": p.refresh}, &tokens)
	p.token, p.refresh = tokens.AccessToken, tokens.RefreshToken
	return tokens
}

func (p *person) logsOut() {
	p.t.Helper()
	p.wants(204, "POST", "/api/auth/logout", map[string]string{"refresh_token": p.refresh}, nil)
}

// refusedWithin tells how long a token is still taken, which may be a second;
// this allows for a machine that is busy.
func (p *person) refusedWithin(since time.Time, path string) time.Duration {
	p.t.Helper()
	within(p.t, 10*time.Second, func() error {
		if got := p.status("GET", path, nil); got != 401 {
			return fmt.Errorf("%s is still answered with %d", p.name, got)
		}
		return nil
	})
	return time.Since(since)
}

func TestADismissedAdministratorIsOneNoLonger(t *testing.T) {
	nats := startNATS(t)
	runOnce(t, "streams", "apply", "--nats", nats)
	start(t, append([]string{"service", "--data", t.TempDir(), "--nats", nats, "--admin-email", adminEmail, "--admin-password", adminPassword}, serviceNames...)...)
	wire := newLine(t, strings.TrimPrefix(nats, "nats://"))
	gateway := func(http, nats string) string {
		return start(t, "gateway", "--http", http, "--nats", nats, "--public-url", "http://shop.example").said["shop"]
	}
	near := gateway("127.0.0.1:0", nats)
	far := gateway("127.0.0.1:0", nats)
	remote := gateway("127.0.0.1:0", "nats://"+wire.addr)

	s := &shop{t, near}
	boss, eve, bob := s.boss(), s.as("eve"), s.as("bob")
	var list query.List[query.UserView]
	boss.wants(200, "GET", "/api/users?email=eve@example.com", nil, &list)
	roles := func(id any) string { return fmt.Sprintf("/api/users/%v/roles", id) }
	eves := roles(list.Data[0].ID)
	boss.wants(200, "GET", "/api/users?email="+adminEmail, nil, &list)
	bosses := roles(list.Data[0].ID)

	// Eve becomes an administrator, which her next access token says, everywhere
	// at once.
	boss.wants(200, "PUT", eves, map[string]any{"roles": []string{"admin"}}, nil)
	eve.refreshes()
	for _, at := range []string{near, far, remote} {
		eve.at(at).wants(200, "GET", "/api/users", nil, nil)
		eve.at(at).wants(200, "GET", "/api/deadletters", nil, nil)
	}

	// She is dismissed. From the very first moment she is no administrator to
	// identity, whatever her token says; soon it is good for nothing anywhere.
	boss.wants(200, "PUT", eves, map[string]any{"roles": []string{"customer"}}, nil)
	since := time.Now()
	for _, at := range []string{far, near, remote} {
		for path, body := range map[string]any{eves: map[string]any{"roles": []string{"admin"}}, bosses: map[string]any{"roles": []string{"customer"}}} {
			if got := eve.at(at).status("PUT", path, body); got != 401 && got != 403 {
				t.Errorf("the dismissed administrator changes roles: %d", got)
			}
		}
		if got := eve.at(at).status("GET", "/api/users", nil); got != 401 && got != 403 {
			t.Errorf("the dismissed administrator lists users: %d", got)
		}
	}
	for _, at := range []string{far, near, remote} {
		t.Logf("a dismissed administrator's token is refused after %v", eve.at(at).refusedWithin(since, "/api/deadletters"))
	}

	// Her session goes on with what she is now, and is taken at once.
	dismissed := eve.at(far)
	if got := eve.refreshes(); fmt.Sprint(got.User.Roles) != "[customer]" {
		t.Errorf("roles %v", got.User.Roles)
	}
	for _, at := range []string{near, far, remote} {
		eve.at(at).wants(200, "GET", "/api/orders", nil, nil)
		eve.at(at).wants(403, "GET", "/api/users", nil, nil)
	}

	// A gateway that has just been started knows, too.
	young := gateway("127.0.0.1:0", nats)
	dismissed.at(young).wants(401, "GET", "/api/orders", nil, nil)
	eve.at(young).wants(200, "GET", "/api/orders", nil, nil)

	// One that was cut off takes nothing that was revoked meanwhile.
	bob.at(remote).wants(200, "GET", "/api/orders", nil, nil)
	wire.setCut(true)
	within(t, 10*time.Second, func() error {
		if got := statusOf(remote + "/readyz/gateway"); got != http.StatusServiceUnavailable {
			return fmt.Errorf("the gateway does not know that it is cut off: %d", got)
		}
		return nil
	})
	bob.at(remote).wants(503, "GET", "/api/orders", nil, nil)
	bob.logsOut()
	since = time.Now()
	t.Logf("the token of who logged out is refused after %v", bob.at(near).refusedWithin(since, "/api/orders"))
	wire.setCut(false)
	within(t, 20*time.Second, func() error {
		switch got := bob.at(remote).status("GET", "/api/orders", nil); got {
		case 401:
			return nil
		case 503:
			return fmt.Errorf("the gateway is still cut off")
		default:
			t.Fatalf("the gateway that was cut off takes the token of who logged out: %d", got)
			return nil
		}
	})
	eve.at(remote).wants(200, "GET", "/api/orders", nil, nil)
}
