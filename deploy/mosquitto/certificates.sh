#!/usr/bin/env bash
# Who may connect to the broker? Two authorities in one folder: "services" signs for the broker and for ingest,
# "devices" for what is carried about. Neither signs for the other, so no device can stand at the door of ingest.
#
#   certificates.sh DIR new                    both authorities, with empty lists of the revoked
#   certificates.sh DIR broker NAME|IP…        the broker's certificate, for the names and addresses it is met under
#   certificates.sh DIR service NAME           a service's certificate (ingest)
#   certificates.sh DIR device ID…             devices' certificates
#   certificates.sh DIR revoke devices|services NAME…
#
# Exit 2: misuse, 1: it did not work. A key is readable by its owner alone.
set -euo pipefail
umask 077

AUTHORITY_DAYS=3650
HOLDER_DAYS=730
# A list that is out of date refuses everybody, and the broker takes it from its own disk: age protects nobody here.
LIST_DAYS=3650

usage() { sed -n '5,9s/^# *//p' "$0" >&2; exit 2; }
refuse() { echo "certificates.sh: $*" >&2; exit 2; }
say_if_wrong() { local said; said=$("$@" 2>&1) || { echo "$said" >&2; exit 1; }; }

[ $# -ge 2 ] || usage
mkdir -p "$1"
cd "$1"
command=$2
shift 2

configuration() {
  cat <<END
[authority]
dir = $1
database = $1/index.txt
new_certs_dir = $1/issued
certificate = $1/ca.crt
private_key = $1/ca.key
rand_serial = yes
default_md = sha256
default_days = $HOLDER_DAYS
default_crl_days = $LIST_DAYS
unique_subject = no
policy = only_a_name
x509_extensions = holder
[only_a_name]
commonName = supplied
[req]
distinguished_name = only_a_name
x509_extensions = authority_itself
[authority_itself]
basicConstraints = critical, CA:true, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[holder]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = ${2:-clientAuth}
${3:+subjectAltName = $3}
END
}

key() { say_if_wrong openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1"; }

authority() {
  [ ! -e "$1/ca.key" ] || refuse "$1 has an authority already"
  mkdir -p "$1/issued"
  : >"$1/index.txt"
  key "$1/ca.key"
  say_if_wrong openssl req -config <(configuration "$1") -new -x509 -key "$1/ca.key" -out "$1/ca.crt" \
    -days "$AUTHORITY_DAYS" -subj "/CN=Tocsin $1"
  list "$1"
}

list() {  # replaced in one step: the broker never reads half of it
  say_if_wrong openssl ca -config <(configuration "$1") -name authority -gencrl -out "$1/revoked.crl.new"
  mv "$1/revoked.crl.new" "$1/revoked.crl"
}

holder() {  # authority, name, use, alternative names
  [ -e "$1/ca.key" ] || refuse "no authority here: certificates.sh DIR new"
  [ ! -e "$1/$2.key" ] || refuse "$2 has a certificate already: revoke it first"
  local request
  request=$(mktemp)
  key "$1/$2.key"
  say_if_wrong openssl req -config <(configuration "$1") -new -key "$1/$2.key" -subj "/CN=$2" -out "$request"
  say_if_wrong openssl ca -config <(configuration "$1" "$3" "$4") -name authority -batch -notext -in "$request" \
    -out "$1/$2.crt"
  rm "$request"
}

device_id() {  # tocsin/model/ids.py: anything else would be another topic, or another's
  [[ $1 =~ ^[a-z0-9][a-z0-9-]{2,31}$ && ! $1 =~ ^(tocsin|ingest|fleet)$ ]] || refuse "not a device id: $1"
}

case $command in
  new) authority services; authority devices ;;
  broker)
    [ $# -ge 1 ] || usage
    names=""
    for name; do
      if [[ $name =~ ^[0-9.]+$|: ]]; then names+="${names:+,}IP:$name"; else names+="${names:+,}DNS:$name"; fi
    done
    holder services broker serverAuth "$names" ;;
  service)
    [[ $# = 1 && $1 =~ ^[a-z0-9-]+$ ]] || usage
    holder services "$1" clientAuth "" ;;
  device)
    [ $# -ge 1 ] || usage
    for id; do device_id "$id"; done
    for id; do holder devices "$id" clientAuth ""; done ;;
  revoke)
    [[ $# -ge 2 && $1 =~ ^(devices|services)$ ]] || usage
    authority=$1
    shift
    for name; do
      [ -e "$authority/$name.crt" ] || refuse "no certificate of $name in $authority"
      say_if_wrong openssl ca -config <(configuration "$authority") -name authority -revoke "$authority/$name.crt"
      rm -f "$authority/$name.crt" "$authority/$name.key"
    done
    list "$authority" ;;
  *) usage ;;
esac
