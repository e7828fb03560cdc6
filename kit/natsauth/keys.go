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

// keyDir is the folder of an identity's keys. It holds the seed and, during a
// rotation, the public key of the previous one.
type keyDir string

// LoadKey reads an identity's key from <keys>/<identity>/seed; keys is a folder. It returns an error
// that names the file if that is missing or holds no user seed; the error never
// contains the seed. Call Wipe on the key when it is no longer needed.
func LoadKey(keys, identity string) (nkeys.KeyPair, error) {
	return keyDir(filepath.Join(keys, identity)).load()
}

func (k keyDir) seedPath() string     { return filepath.Join(string(k), "seed") }
func (k keyDir) previousPath() string { return filepath.Join(string(k), "previous.pub") }

func (k keyDir) exists() (bool, error) {
	_, err := os.Stat(k.seedPath())
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// create creates a key and replaces the seed that is there.
func (k keyDir) create() error {
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
	return replaceFile(k.seedPath(), 0o600, append(seed, '\n'))
}

// keepPrevious saves the current public key before the key is replaced.
func (k keyDir) keepPrevious() error {
	current, err := k.current()
	if err != nil {
		return err
	}
	return replaceFile(k.previousPath(), 0o644, []byte(current+"\n"))
}

// retirePrevious removes the previous public key, if there is one.
func (k keyDir) retirePrevious() error {
	if err := os.Remove(k.previousPath()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func (k keyDir) load() (nkeys.KeyPair, error) {
	seed, err := os.ReadFile(k.seedPath())
	if err != nil {
		return nil, err
	}
	pair, err := nkeys.ParseDecoratedUserNKey(seed)
	if err != nil {
		return nil, fmt.Errorf("%s does not hold the seed of a user: %w", k.seedPath(), err)
	}
	return pair, nil
}

// current returns the current public key.
func (k keyDir) current() (string, error) {
	pair, err := k.load()
	if err != nil {
		return "", err
	}
	defer pair.Wipe()
	return pair.PublicKey()
}

// public returns the public keys that the identity may connect with: the current
// one and, during a rotation, the previous one.
func (k keyDir) public() ([]string, error) {
	current, err := k.current()
	if err != nil {
		return nil, err
	}
	previous, err := os.ReadFile(k.previousPath())
	if errors.Is(err, os.ErrNotExist) {
		return []string{current}, nil
	}
	return []string{current, strings.TrimSpace(string(previous))}, err
}

// routePassword returns the password by which the servers of a cluster know each
// other. It is created once and kept in dir.
func routePassword(dir string) (string, error) {
	path := filepath.Join(dir, "password")
	old, err := os.ReadFile(path)
	if err == nil {
		return strings.TrimSpace(string(old)), nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	password := rand.Text()
	return password, replaceFile(path, 0o600, []byte(password+"\n"))
}
