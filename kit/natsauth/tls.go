package natsauth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

const (
	authorityLives   = 10 * 365 * 24 * time.Hour
	certificateLives = 365 * 24 * time.Hour
	// renewBefore is how long before its end a certificate is made anew.
	renewBefore = 30 * 24 * time.Hour
)

// pair is a certificate and its private key.
type pair struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// certify makes an authority of one's own and a certificate for each server,
// and keeps those that are there and will last for a while. Clients need ca.pem.
func certify(dir, authorityName string, servers []string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	authority, err := loadPair(dir, "ca")
	if errors.Is(err, os.ErrNotExist) {
		authority, err = makePair(dir, "ca", &x509.Certificate{
			Subject: pkix.Name{CommonName: authorityName}, IsCA: true, BasicConstraintsValid: true,
			KeyUsage: x509.KeyUsageCertSign, NotAfter: time.Now().Add(authorityLives),
		}, nil)
	}
	if err != nil {
		return err
	}
	for _, name := range servers {
		if had, err := loadPair(dir, name); err == nil && time.Until(had.cert.NotAfter) > renewBefore && had.cert.CheckSignatureFrom(authority.cert) == nil {
			continue
		}
		// Clients may come by the servers' common name, or from the same host.
		_, err := makePair(dir, name, &x509.Certificate{
			Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(certificateLives),
			DNSNames: []string{name, "nats", "localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
			KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		}, &authority)
		if err != nil {
			return err
		}
	}
	return nil
}

// makePair makes a key and a certificate of it, signed by an authority, or by
// itself when there is none.
func makePair(dir, name string, template *x509.Certificate, by *pair) (p pair, err error) {
	if p.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return p, err
	}
	if by == nil {
		by = &pair{template, p.key}
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return p, err
	}
	template.NotBefore = time.Now().Add(-time.Hour) // whose clock is a little behind
	der, err := x509.CreateCertificate(rand.Reader, template, by.cert, &p.key.PublicKey, by.key)
	if err != nil {
		return p, err
	}
	if p.cert, err = x509.ParseCertificate(der); err != nil {
		return p, err
	}
	key, err := x509.MarshalPKCS8PrivateKey(p.key)
	if err != nil {
		return p, err
	}
	// The key first: a certificate without one would be taken for a whole pair.
	return p, errors.Join(
		replace(filepath.Join(dir, name+"-key.pem"), 0o600, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})),
		replace(filepath.Join(dir, name+".pem"), 0o644, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
}

func loadPair(dir, name string) (p pair, err error) {
	der, err := loadPEM(filepath.Join(dir, name+".pem"))
	if err != nil {
		return p, err
	}
	if p.cert, err = x509.ParseCertificate(der); err != nil {
		return p, err
	}
	if der, err = loadPEM(filepath.Join(dir, name+"-key.pem")); err != nil {
		return p, err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return p, err
	}
	var ok bool
	if p.key, ok = key.(*ecdsa.PrivateKey); !ok {
		return p, fmt.Errorf("%s-key.pem is no ECDSA key", name)
	}
	return p, nil
}

func loadPEM(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("%s is not PEM", path)
	}
	return block.Bytes, nil
}
