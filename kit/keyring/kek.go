package keyring

import (
	"bytes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/chacha20poly1305"
)

// keySize is the size of all keys, in bytes.
const keySize = chacha20poly1305.KeySize

// KEKs are the key-encryption keys of a file. The file has one key a line: 32 random bytes
// in base64. Empty lines and those that begin with # are ignored. The first key wraps, all
// unwrap. The file is read again when it has changed, so a running program follows a
// rotation. It is safe for concurrent use.
type KEKs struct {
	path string

	mu      sync.Mutex
	changed time.Time // modification time and size of the file that was read
	size    int64
	first   kek
	byID    map[string]kek
}

// kek is one key-encryption key.
type kek struct {
	id string // the first 8 hexadecimal digits of the key's SHA-256
	cipher.AEAD
}

// LoadKEKs reads a file of key-encryption keys. The error names the file and the line, and
// never shows a key.
func LoadKEKs(path string) (*KEKs, error) {
	k := &KEKs{path: path}
	return k, k.read()
}

// Exposed reports whether the file's mode lets others read it, or its group or others change
// it. A group may read it, as in Kubernetes.
func (k *KEKs) Exposed() bool {
	stat, err := os.Stat(k.path)
	return err == nil && stat.Mode().Perm()&0o026 != 0
}

// Path returns the path of the file.
func (k *KEKs) Path() string { return k.path }

// wrapping returns the key that wraps, as the file has it now.
func (k *KEKs) wrapping() (kek, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if stat, err := os.Stat(k.path); err != nil || !stat.ModTime().Equal(k.changed) || stat.Size() != k.size {
		if err := k.read(); err != nil {
			return kek{}, err
		}
	}
	return k.first, nil
}

// find returns a key by its id. It reads the file again before it reports that it has none.
func (k *KEKs) find(id string) (kek, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if found, ok := k.byID[id]; ok {
		return found, nil
	}
	if err := k.read(); err != nil {
		return kek{}, err
	}
	if found, ok := k.byID[id]; ok {
		return found, nil
	}
	return kek{}, fmt.Errorf("%w: %s has no key %q; add the line that wrapped the keys of this log, which a backup of the file has", ErrWrongKEK, k.path, id)
}

// ErrWrongKEK means that the file of key-encryption keys lacks the one that wraps a key.
var ErrWrongKEK = errors.New("the key-encryption key is missing")

// read reads the file. The caller holds mu, or is the only user.
func (k *KEKs) read() error {
	stat, err := os.Stat(k.path) // before reading, so that a later change is noticed
	if err != nil {
		return fmt.Errorf("key-encryption keys: %w", err)
	}
	data, err := os.ReadFile(k.path)
	if err != nil {
		return fmt.Errorf("key-encryption keys: %w", err)
	}
	all, err := parseKEKs(data)
	if err != nil {
		return fmt.Errorf("key-encryption keys: %s: %w", k.path, err)
	}
	k.byID = map[string]kek{}
	for _, one := range all {
		k.byID[one.id] = one
	}
	k.first, k.changed, k.size = all[0], stat.ModTime(), stat.Size()
	return nil
}

// parseKEKs returns the keys of a file, at least one. The error shows no key.
func parseKEKs(data []byte) (all []kek, err error) {
	for i, line := range strings.Split(string(data), "\n") {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		key, err := base64.StdEncoding.Strict().DecodeString(line)
		if err != nil || len(key) != keySize {
			return nil, fmt.Errorf("line %d is not a key: it must be %d bytes in base64, or a comment that begins with #", i+1, keySize)
		}
		one, err := newKEK(key)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	if len(all) == 0 {
		return nil, errors.New("it has no key; a line such as `openssl rand -base64 32` prints is one")
	}
	return all, nil
}

func newKEK(key []byte) (kek, error) {
	aead, err := chacha20poly1305.NewX(key)
	sum := sha256.Sum256(key)
	return kek{hex.EncodeToString(sum[:4]), aead}, err
}

// CreateKEKs makes a file with one random key, which only its owner may read, unless there is
// a file already. Made reports whether it has made one. The folder must exist. Several
// processes may call it at once: all of them then have the same file.
func CreateKEKs(path string) (made bool, err error) {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	line, err := newLine()
	if err != nil {
		return false, err
	}
	err = createFile(path, []byte("# Key-encryption keys: the first one wraps, all unwrap. Back this file up apart from the data.\n"+line))
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	return err == nil, err
}

// KEKIDs returns the ids of the keys of a file. The first one wraps.
func KEKIDs(path string) (ids []string, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("key-encryption keys: %w", err)
	}
	all, err := parseKEKs(data)
	if err != nil {
		return nil, fmt.Errorf("key-encryption keys: %s: %w", path, err)
	}
	for _, one := range all {
		ids = append(ids, one.id)
	}
	return ids, nil
}

// AddKEK adds a random key to a file, as the first one, and returns its id. From then on it
// wraps new keys; Ring.Rewrap wraps the others by it. The file keeps its mode and its owner.
func AddKEK(path string) (id string, err error) {
	old, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("key-encryption keys: %w", err)
	}
	if _, err := parseKEKs(old); err != nil {
		return "", fmt.Errorf("key-encryption keys: %s: %w", path, err)
	}
	line, err := newLine()
	if err != nil {
		return "", err
	}
	added, err := parseKEKs([]byte(line))
	if err != nil {
		return "", err
	}
	comments := 0 // the comments at the beginning are about the whole file
	for bytes.HasPrefix(old[comments:], []byte("#")) && bytes.IndexByte(old[comments:], '\n') >= 0 {
		comments += bytes.IndexByte(old[comments:], '\n') + 1
	}
	return added[0].id, replaceFile(path, bytes.Join([][]byte{old[:comments], []byte(line), old[comments:]}, nil))
}

// RetireKEKs removes all keys but the first from a file, with the comments between them, and
// returns their ids. Call it after Ring.Rewrap: what a removed key wraps is lost for good. So
// inUse is asked whether one of them still wraps something: before the removal, and again
// after it, since a process that had not read the file anew may have used one meanwhile. If
// it returns an error, the file is as it was, and the error is returned.
func RetireKEKs(path string, inUse func(ids []string) error) (removed []string, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("key-encryption keys: %w", err)
	}
	all, err := parseKEKs(data)
	if err != nil {
		return nil, fmt.Errorf("key-encryption keys: %s: %w", path, err)
	}
	if len(all) == 1 {
		return nil, nil
	}
	for _, one := range all[1:] {
		removed = append(removed, one.id)
	}
	if err := inUse(removed); err != nil {
		return nil, err
	}
	if err := replaceFile(path, upToFirst(data)); err != nil {
		return nil, err
	}
	if err := inUse(removed); err != nil {
		if undone := replaceFile(path, data); undone != nil {
			return removed, fmt.Errorf("%w; and the file could not be put back, take it from its backup: %w", err, undone)
		}
		return nil, err
	}
	return removed, nil
}

// upToFirst returns the lines of a file up to its first key.
func upToFirst(data []byte) []byte {
	var kept bytes.Buffer
	for line := range bytes.Lines(data) {
		kept.Write(line)
		if trimmed := bytes.TrimSpace(line); len(trimmed) > 0 && trimmed[0] != '#' {
			break
		}
	}
	return kept.Bytes()
}

// newLine returns a line with a random key.
func newLine() (string, error) {
	key := make([]byte, keySize)
	_, err := rand.Read(key)
	return base64.StdEncoding.EncodeToString(key) + "\n", err
}
