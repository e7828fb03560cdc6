package security

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"lonja/events/query"
	"lonja/shop"
	"lonja/test/harness"
)

// rejectedAfter returns how long a token is still accepted. One second is allowed;
// the limit is longer for the sake of busy machines.
func rejectedAfter(p *harness.Person, since time.Time, path string) time.Duration {
	p.T.Helper()
	harness.Within(p.T, 10*time.Second, func() error {
		if got := p.Status("GET", path, nil); got != 401 {
			return fmt.Errorf("%s is still answered with %d", p.Name, got)
		}
		return nil
	})
	return time.Since(since)
}

func TestRevocation_EndsAnAdministratorsRights(t *testing.T) {
	nats := harness.StartNATS(t)
	harness.Run(t, "streams", "apply", "--nats", nats)
	harness.Start(t, append(harness.ServicesOn(t.TempDir(), shop.Names()...), "--nats", nats)...)
	wire := newCutProxy(t, strings.TrimPrefix(nats, "nats://"))
	gateway := func(http, nats string) string {
		return harness.Start(t, "gateway", "--http", http, "--nats", nats, "--public-url", "http://shop.example").Said["shop"]
	}
	near := gateway("127.0.0.1:0", nats)
	far := gateway("127.0.0.1:0", nats)
	remote := gateway("127.0.0.1:0", "nats://"+wire.addr)

	s := harness.At(t, near)
	boss, eve, bob := s.Boss(), s.As("eve"), s.As("bob")
	var list query.List[query.UserView]
	boss.Wants(200, "GET", "/api/users?email=eve@example.com", nil, &list)
	roles := func(id any) string { return fmt.Sprintf("/api/users/%v/roles", id) }
	eves := roles(list.Data[0].ID)
	boss.Wants(200, "GET", "/api/users?email="+harness.AdminEmail, nil, &list)
	bosses := roles(list.Data[0].ID)

	// Eve becomes an administrator. Her next access token grants the role everywhere.
	boss.Wants(200, "PUT", eves, map[string]any{"roles": []string{"admin"}}, nil)
	eve.Refreshes()
	for _, at := range []string{near, far, remote} {
		eve.At(at).Wants(200, "GET", "/api/users", nil, nil)
		eve.At(at).Wants(200, "GET", "/api/deadletters", nil, nil)
	}

	// The role is removed. Identity ignores the role in her token at once, and soon
	// every service rejects the token.
	boss.Wants(200, "PUT", eves, map[string]any{"roles": []string{"customer"}}, nil)
	since := time.Now()
	for _, at := range []string{far, near, remote} {
		for path, body := range map[string]any{eves: map[string]any{"roles": []string{"admin"}}, bosses: map[string]any{"roles": []string{"customer"}}} {
			if got := eve.At(at).Status("PUT", path, body); got != 401 && got != 403 {
				t.Errorf("the dismissed administrator changes roles: %d", got)
			}
		}
		if got := eve.At(at).Status("GET", "/api/users", nil); got != 401 && got != 403 {
			t.Errorf("the dismissed administrator lists users: %d", got)
		}
	}
	for _, at := range []string{far, near, remote} {
		t.Logf("a dismissed administrator's token is refused after %v", rejectedAfter(eve.At(at), since, "/api/deadletters"))
	}

	// Her session continues with her present roles. A new token works at once.
	dismissed := eve.At(far)
	if got := eve.Refreshes(); fmt.Sprint(got.User.Roles) != "[customer]" {
		t.Errorf("roles %v", got.User.Roles)
	}
	for _, at := range []string{near, far, remote} {
		eve.At(at).Wants(200, "GET", "/api/orders", nil, nil)
		eve.At(at).Wants(403, "GET", "/api/users", nil, nil)
	}

	// A gateway that has just been started knows the revocation too.
	young := gateway("127.0.0.1:0", nats)
	dismissed.At(young).Wants(401, "GET", "/api/orders", nil, nil)
	eve.At(young).Wants(200, "GET", "/api/orders", nil, nil)

	// A gateway that was disconnected rejects what was revoked meanwhile.
	bob.At(remote).Wants(200, "GET", "/api/orders", nil, nil)
	wire.setCut(true)
	harness.Within(t, 10*time.Second, func() error {
		if got := harness.StatusOf(remote + "/readyz/gateway"); got != http.StatusServiceUnavailable {
			return fmt.Errorf("the gateway does not know that it is cut off: %d", got)
		}
		return nil
	})
	bob.At(remote).Wants(503, "GET", "/api/orders", nil, nil)
	bob.LogsOut()
	since = time.Now()
	t.Logf("the token of who logged out is refused after %v", rejectedAfter(bob.At(near), since, "/api/orders"))
	wire.setCut(false)
	harness.Within(t, 20*time.Second, func() error {
		switch got := bob.At(remote).Status("GET", "/api/orders", nil); got {
		case 401:
			return nil
		case 503:
			return fmt.Errorf("the gateway is still cut off")
		default:
			t.Fatalf("the gateway that was cut off takes the token of who logged out: %d", got)
			return nil
		}
	})
	eve.At(remote).Wants(200, "GET", "/api/orders", nil, nil)
}
