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

// Identity is a client that may connect, and what it may do.
type Identity struct {
	Name        string // also the folder of its key
	Permissions Permissions
}

// Config is the input of [WriteConfig]. Name, Account, Dir, Servers and Identities
// are required.
type Config struct {
	Name       string // of the application; names the cluster and the certificate authority
	Account    string // the NATS account of all identities
	Dir        string // the output folder, as an absolute path
	Identities []Identity
	Servers    []string // names of the servers, which are also their host names; several form a cluster
	Store      string   // JetStream's folder on the server; "" means /data
	MaxStore   string   // its limit, such as "10GB"; must be below the disk's size; "" means 10GB
	TLS        bool     // encrypt connections, with certificates of an authority that is created in Dir
	Rotate     []string // identities that get a new key; their previous key keeps working
	Retire     []string // identities whose previous key stops working
}

// Result lists, by identity, what [WriteConfig] did with the keys.
type Result struct {
	Created  []string // a new key was created
	Kept     []string // the key was there already
	Rotating []string // the previous key still works, next to the current one
}

// WriteConfig writes the configuration of the NATS servers into c.Dir:
//
//	keys/<identity>/seed   the identity's secret, created once; mount only this folder for it
//	auth.conf              the identities and their permissions; contains no secret
//	<server>.conf          one for each server; includes auth.conf, holds the cluster's password
//	tls/                   certificates, if c.TLS is set
//
// It can run again at every start: keys and certificates stay, and a file is
// written only if its content changes. Secrets are readable by their owner only.
//
// WriteConfig panics if a required field is missing. It returns an error if
// c.Rotate or c.Retire names an unknown identity, before it writes anything, and
// if a file cannot be read or written. After an error, correct the cause and run it again.
func WriteConfig(c Config) (r Result, err error) {
	if c.Name == "" || c.Account == "" || !filepath.IsAbs(c.Dir) || len(c.Servers) == 0 || len(c.Identities) == 0 {
		panic("natsauth: Config requires Name, Account, an absolute Dir, Servers and Identities")
	}
	for _, name := range slices.Concat(c.Rotate, c.Retire) {
		if !slices.ContainsFunc(c.Identities, func(i Identity) bool { return i.Name == name }) {
			return r, fmt.Errorf("there is no identity %q", name)
		}
	}
	if err := os.MkdirAll(c.Dir, 0o755); err != nil {
		return r, err
	}
	users := make([]user, len(c.Identities))
	for i, identity := range c.Identities {
		if users[i], err = c.user(identity, &r); err != nil {
			return r, fmt.Errorf("identity %s: %w", identity.Name, err)
		}
	}
	if err := c.write("auth.conf", 0o644, authTemplate, map[string]any{"Account": c.Account, "Users": users}); err != nil {
		return r, err
	}
	if c.TLS {
		if err := writeCertificates(c.tlsDir(), c.Name, c.Servers); err != nil {
			return r, fmt.Errorf("certificates: %w", err)
		}
	}
	return r, c.writeServers()
}

// tlsDir returns the folder of the certificates. It is absolute, so that a server
// finds it whatever its working directory is.
func (c Config) tlsDir() string { return filepath.Join(c.Dir, "tls") }

// user creates, rotates or retires the keys of an identity as configured, notes that
// in r, and returns the identity with its public keys.
func (c Config) user(identity Identity, r *Result) (u user, err error) {
	keys := keyDir(filepath.Join(c.Dir, "keys", identity.Name))
	exists, err := keys.exists()
	if err != nil {
		return u, err
	}
	switch {
	case !exists:
		err = keys.create()
		r.Created = append(r.Created, identity.Name)
	case slices.Contains(c.Rotate, identity.Name):
		err = errors.Join(keys.keepPrevious(), keys.create())
		r.Created = append(r.Created, identity.Name)
	default:
		r.Kept = append(r.Kept, identity.Name)
	}
	if err == nil && slices.Contains(c.Retire, identity.Name) {
		err = keys.retirePrevious()
	}
	if err != nil {
		return u, err
	}
	u = user{Name: identity.Name, Permissions: identity.Permissions.Sorted()}
	if u.Keys, err = keys.public(); len(u.Keys) > 1 {
		r.Rotating = append(r.Rotating, identity.Name)
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
			s.Certificates = c.tlsDir()
		}
		if len(c.Servers) > 1 {
			s.Routes = c.Servers
		}
		// The file holds the password of the routes.
		if err := c.write(name+".conf", 0o600, serverTemplate, s); err != nil {
			return err
		}
	}
	return nil
}

// write executes a template into a file. It leaves a file with the same content
// alone, since a server may be reading it.
func (c Config) write(name string, mode os.FileMode, t *configTemplate, data any) error {
	var b bytes.Buffer
	if err := t.Execute(&b, data); err != nil {
		return err
	}
	path := filepath.Join(c.Dir, name)
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, b.Bytes()) {
		return nil
	}
	return replaceFile(path, mode, b.Bytes())
}

// replaceFile creates or replaces a file. A reader sees the old content or the
// new, never a part. A leftover of an interrupted call is removed first, because
// it may have another mode.
func replaceFile(path string, mode os.FileMode, data []byte) error {
	next := path + ".next"
	if err := os.Remove(next); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.WriteFile(next, data, mode); err != nil {
		return err
	}
	return os.Rename(next, path)
}
