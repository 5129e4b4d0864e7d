# sh notice.sh: tells this machine's Ray when EC2 is about to take the machine back.
#
# EC2 says so two minutes before, to whoever asks on the machine itself. Ray then begins nothing
# here any more, and the trials that are here go on elsewhere after the epoch that they are in. It
# ends when it has told, and with this machine's Ray; where EC2 does not answer it asks again.

service=http://169.254.169.254/latest
asked() { curl --noproxy '*' -fs -m 2 "$@"; }

while pgrep -x raylet > /dev/null; do
    token=$(asked -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' $service/api/token)
    if asked -H "X-aws-ec2-metadata-token: $token" $service/meta-data/spot/instance-action; then
        ray drain-node --reason DRAIN_NODE_REASON_PREEMPTION --reason-message 'spot notice' \
            --deadline-remaining-seconds 110 && exit 0
    fi
    sleep 5
done
