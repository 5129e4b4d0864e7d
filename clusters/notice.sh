# sh notice.sh: tells this machine's Ray when EC2 is about to take the machine back.
#
# EC2 says so two minutes before, to whoever asks on the machine itself. Ray then begins nothing
# here any more, and the trials that are here go on elsewhere after the epoch that they are in. It
# ends when it has told, with this machine's Ray, and where no EC2 answers.

service=http://169.254.169.254/latest
asked() { curl -fs -m 2 -H "X-aws-ec2-metadata-token: $token" "$service/meta-data/$1"; }

answered=
while pgrep -x raylet > /dev/null; do
    # Where EC2 has answered once, a question without an answer is asked again.
    if token=$(curl -fs -m 2 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' "$service/api/token"); then
        answered=yes
    elif [ -z "$answered" ]; then
        exit 0
    fi
    if asked spot/instance-action > /dev/null; then
        ray drain-node --reason DRAIN_NODE_REASON_PREEMPTION --reason-message 'spot notice' \
            --deadline-remaining-seconds 110 && exit 0
    fi
    sleep 5
done
