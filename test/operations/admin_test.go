package operations

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lonja/test/harness"
)

// admin runs lonja admin password with something in the environment, and returns
// its output.
func admin(p *harness.Process, env string, args ...string) (string, error) {
	cmd := harness.Command(p.T, append([]string{"admin", "password", "--nats", p.Said["nats"]}, args...)...)
	cmd.Env = append(os.Environ(), env)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestAdminPassword_SetsANewPassword(t *testing.T) {
	data := t.TempDir()
	p, s := harness.Up(t, "--data", data)
	boss, ana := s.Boss(), s.As("ana")
	login := func(email, password string) int {
		return (&harness.Person{Shop: s, Name: email}).Status("POST", "/api/auth/login", map[string]string{"email": email, "password": password})
	}

	// The administrator: the old password, its sessions and their tokens stop working.
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("correct horse battery\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := admin(p, "", "--password-file", file); err != nil || !strings.Contains(out, harness.AdminEmail) || strings.Contains(out, "horse") {
		t.Fatalf("%v\n%s", err, out)
	}
	if got := login(harness.AdminEmail, harness.AdminPassword); got != 401 {
		t.Errorf("the password before: %d", got)
	}
	if got := login(harness.AdminEmail, "correct horse battery"); got != 200 {
		t.Errorf("the new password: %d", got)
	}
	if got := boss.Status("POST", "/api/auth/refresh", map[string]string{"refresh_token": boss.Refresh}); got != 401 {
		t.Errorf("a session from before is refreshed: %d", got)
	}
	harness.Eventually(t, func() error {
		if got := boss.Status("GET", "/api/orders", nil); got != 401 {
			return fmt.Errorf("an access token from before is answered with %d", got)
		}
		return nil
	})
	boss = s.LogIn(harness.AdminEmail, "correct horse battery")
	boss.Wants(200, "GET", "/api/users", nil, nil)
	who := boss.Refreshes()

	// Another account. The other passwords stay.
	if out, err := admin(p, "LONJA_PASSWORD=another horse", "--email", "Ana@Example.com"); err != nil || !strings.Contains(out, "ana@example.com") {
		t.Fatalf("%v\n%s", err, out)
	}
	if login("ana@example.com", "password of ana") != 401 || login("ana@example.com", "another horse") != 200 || login(harness.AdminEmail, "correct horse battery") != 200 {
		t.Error("the passwords are not as they should be")
	}
	if got := ana.Status("POST", "/api/auth/refresh", map[string]string{"refresh_token": ana.Refresh}); got != 401 {
		t.Errorf("a session from before is refreshed: %d", got)
	}

	for _, wrong := range []struct {
		env  string
		args []string
		says string
	}{
		{"LONJA_PASSWORD=short", nil, "password must have at least 8"},
		{"LONJA_PASSWORD=another horse", []string{"--email", "nobody@example.com"}, "there is no such account"},
		{"LONJA_PASSWORD=", nil, "--password-file"},
		{"", []string{"--password-file", filepath.Join(data, "none")}, "--password-file"},
	} {
		if out, err := admin(p, wrong.env, wrong.args...); err == nil || !strings.Contains(out, wrong.says) {
			t.Errorf("%s %v: %v\n%s", wrong.env, wrong.args, err, out)
		}
	}
	if out := harness.Run(t, "timeline", string(who.User.ID), "--nats", p.Said["nats"]); !strings.Contains(out, "user.password_changed") || strings.Contains(out, "argon2") {
		t.Errorf("timeline: %s", out)
	}
	harness.Run(t, "audit", "--data", data, "--nats", p.Said["nats"])
	p.Stop()

	// At a later start the flag's password differs from the administrator's. The
	// program reports that and changes nothing.
	p, s = harness.Up(t, "--data", data)
	if said := p.Said["admin"]; !strings.Contains(said, harness.AdminEmail) || !strings.Contains(said, "lonja admin password") {
		t.Errorf("at the start it is said %q", said)
	}
	if login(harness.AdminEmail, harness.AdminPassword) != 401 || login(harness.AdminEmail, "correct horse battery") != 200 {
		t.Error("the flag set a password")
	}
	p.Stop()
	if out, err := admin(p, "LONJA_PASSWORD=another horse"); err == nil || strings.Contains(out, "another horse") {
		t.Errorf("without a shop: %v\n%s", err, out)
	}
	p = harness.Start(t, "up", "--http", "127.0.0.1:0", "--nats", "127.0.0.1:0", "--data", data, "--admin-email", harness.AdminEmail, "--admin-password", "correct horse battery")
	if said, ok := p.Said["admin"]; ok {
		t.Errorf("at a start with the right password it is said %q", said)
	}
	p.Stop()
}
