// Package natsconf writes the configuration of the NATS servers that a shop runs
// on: who may connect, by which key, and what each may do there.
//
//	DIR/keys/<identity>/seed   the identity's secret, made once; mount it alone
//	DIR/auth.conf              the identities and what they may do; holds no secret
//	DIR/<server>.conf          of each server; includes auth.conf
//	DIR/tls/                   certificates, when they are wanted
//
// Writing again changes nothing that need not change, so it may be done at every
// start. Files that others must not read are only their owner's.
package natsauth

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// Identity is somebody who may connect, and what for.
type Identity struct {
	Name        string
	Permissions Permissions
}

// Config says what to write. Dir, Servers and Identities are required.
type Config struct {
	Name       string // of the application: it names the cluster and the certificate authority
	Account    string // of all identities
	Dir        string // absolute
	Identities []Identity
	Servers    []string // their names, which are also their hosts'; several make a cluster
	Store      string   // folder for JetStream on the server; "" means /data
	MaxStore   string   // what it may hold, such as "10GB", below the disk's size; "" means 10GB
	TLS        bool     // encrypt, with certificates of an authority made here
	Rotate     []string // identities that get a new key; the one before still works
	Retire     []string // identities whose key before does no longer
}

// Written tells what Write did.
type Written struct {
	Made []string // identities that got a key now
	Kept []string // those that had one
	Old  []string // of these, whose key before still works
}

// WriteConfig writes everything. It is an error that names the identity when one to
// rotate or retire is unknown.
func WriteConfig(c Config) (w Written, err error) {
	if c.Name == "" || c.Account == "" || !filepath.IsAbs(c.Dir) || len(c.Servers) == 0 || len(c.Identities) == 0 {
		panic("natsauth: Name, Account, an absolute Dir, Servers and Identities are required")
	}
	for _, name := range slices.Concat(c.Rotate, c.Retire) {
		if !slices.ContainsFunc(c.Identities, func(i Identity) bool { return i.Name == name }) {
			return w, fmt.Errorf("there is no identity %q", name)
		}
	}
	if err := os.MkdirAll(c.Dir, 0o755); err != nil {
		return w, err
	}
	users := make([]user, len(c.Identities))
	for i, identity := range c.Identities {
		if users[i], err = c.user(identity, &w); err != nil {
			return w, fmt.Errorf("identity %s: %w", identity.Name, err)
		}
	}
	if err := c.write("auth.conf", 0o644, authTemplate, map[string]any{"Account": c.Account, "Users": users}); err != nil {
		return w, err
	}
	if c.TLS {
		if err := certify(c.certificates(), c.Name, c.Servers); err != nil {
			return w, fmt.Errorf("certificates: %w", err)
		}
	}
	return w, c.writeServers()
}

// certificates is their folder, by a path that a server finds wherever it is
// started.
func (c Config) certificates() string { return filepath.Join(c.Dir, "tls") }

// user is an identity with its keys, made if need be.
func (c Config) user(identity Identity, w *Written) (u user, err error) {
	keys := keysOf(filepath.Join(c.Dir, "keys", identity.Name))
	had, err := keys.have()
	if err != nil {
		return u, err
	}
	switch {
	case !had:
		err = keys.make()
		w.Made = append(w.Made, identity.Name)
	case slices.Contains(c.Rotate, identity.Name):
		err = errors.Join(keys.retain(), keys.make())
		w.Made = append(w.Made, identity.Name)
	default:
		w.Kept = append(w.Kept, identity.Name)
	}
	if err == nil && slices.Contains(c.Retire, identity.Name) {
		err = keys.retire()
	}
	if err != nil {
		return u, err
	}
	u = user{Name: identity.Name, Permissions: identity.Permissions.Sorted()}
	if u.Keys, err = keys.public(); len(u.Keys) > 1 {
		w.Old = append(w.Old, identity.Name)
	}
	return u, err
}

func (c Config) writeServers() error {
	password := ""
	if len(c.Servers) > 1 {
		var err error
		if password, err = routePassword(filepath.Join(c.Dir, "keys", "cluster")); err != nil {
			return err
		}
	}
	for _, name := range c.Servers {
		s := server{Name: name, Cluster: c.Name, Store: cmp.Or(c.Store, "/data"), MaxStore: cmp.Or(c.MaxStore, "10GB"), Password: password}
		if c.TLS {
			s.Certificates = c.certificates()
		}
		if len(c.Servers) > 1 {
			s.Routes = c.Servers
		}
		// The password of the routes is a secret.
		if err := c.write(name+".conf", 0o600, serverTemplate, s); err != nil {
			return err
		}
	}
	return nil
}

// write writes a file in one piece, and only when it is to change: a server may
// be reading it.
func (c Config) write(name string, mode os.FileMode, t *conf, data any) error {
	var b bytes.Buffer
	if err := t.Execute(&b, data); err != nil {
		return err
	}
	path := filepath.Join(c.Dir, name)
	if was, err := os.ReadFile(path); err == nil && bytes.Equal(was, b.Bytes()) {
		return nil
	}
	return replace(path, mode, b.Bytes())
}

// replace puts a file in the place of whatever is there.
func replace(path string, mode os.FileMode, data []byte) error {
	next := path + ".next"
	if err := os.Remove(next); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.WriteFile(next, data, mode); err != nil {
		return err
	}
	return os.Rename(next, path)
}
