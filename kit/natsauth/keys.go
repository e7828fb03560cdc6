package natsauth

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/nats-io/nkeys"
)

// keysOf is an identity's folder: its seed, and while that is new the public
// key of the one before.
type keysOf string

// Key reads an identity's key from a folder of keys.
func Key(keys, identity string) (nkeys.KeyPair, error) {
	return keysOf(filepath.Join(keys, identity)).pair()
}

func (k keysOf) seed() string     { return filepath.Join(string(k), "seed") }
func (k keysOf) previous() string { return filepath.Join(string(k), "previous.pub") }

func (k keysOf) have() (bool, error) {
	_, err := os.Stat(k.seed())
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func (k keysOf) make() error {
	pair, err := nkeys.CreateUser()
	if err != nil {
		return err
	}
	defer pair.Wipe()
	seed, err := pair.Seed()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(string(k), 0o700); err != nil {
		return err
	}
	return replace(k.seed(), 0o600, append(seed, '\n'))
}

// retain notes the public key that is about to be replaced.
func (k keysOf) retain() error {
	current, err := k.current()
	if err != nil {
		return err
	}
	return replace(k.previous(), 0o644, []byte(current+"\n"))
}

func (k keysOf) retire() error {
	if err := os.Remove(k.previous()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func (k keysOf) pair() (nkeys.KeyPair, error) {
	seed, err := os.ReadFile(k.seed())
	if err != nil {
		return nil, err
	}
	pair, err := nkeys.ParseDecoratedUserNKey(seed)
	if err != nil {
		return nil, fmt.Errorf("%s holds no seed of a user: %w", k.seed(), err)
	}
	return pair, nil
}

func (k keysOf) current() (public string, err error) {
	pair, err := k.pair()
	if err != nil {
		return "", err
	}
	defer pair.Wipe()
	return pair.PublicKey()
}

// public are the keys that the identity may connect with.
func (k keysOf) public() ([]string, error) {
	current, err := k.current()
	if err != nil {
		return nil, err
	}
	previous, err := os.ReadFile(k.previous())
	if errors.Is(err, os.ErrNotExist) {
		return []string{current}, nil
	}
	return []string{current, strings.TrimSpace(string(previous))}, err
}

// routePassword is what the servers of a cluster know each other by, made once.
func routePassword(dir string) (string, error) {
	path := filepath.Join(dir, "password")
	was, err := os.ReadFile(path)
	if err == nil {
		return strings.TrimSpace(string(was)), nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	password := rand.Text()
	return password, replace(path, 0o600, []byte(password+"\n"))
}
